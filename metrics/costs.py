"""The facts of what a trial costs, and of its training losses: numbers that no evaluator yields."""

from __future__ import annotations

from metrics.info import Direction, MetricInfo

LOSS = "loss:"  # `loss:total`, `loss:face_l1`, `loss:perceptual.lpips`

DIVERGED, STEP_SECONDS = "diverged", "step_seconds"


def _cost(name: str, direction: Direction, unit: str, what: str, title: str, decimals: int = 0) -> MetricInfo:
    return MetricInfo(name, direction, unit, None, what, title=title, decimals=decimals, bounds=(0.0, None))


COSTS = {
    info.name: info
    for info in (
        _cost("parameters", "none", "", "trained values of the model", "Parameters"),
        _cost("flops", "lower", "", "of one swap", "FLOPs, one image"),
        _cost("latent_cells", "none", "", "height x width of the latent", "Latent cells"),
        _cost("latent_values", "none", "", "cells x channels", "Latent values"),
        _cost("train_images_per_s", "higher", "images/s", "median over the blocks of a training", "Training speed"),
        _cost("swap_images_per_s", "higher", "images/s", "swaps at batch 32, median over blocks", "Swap speed"),
        _cost("peak_memory_mb", "lower", "MB", "of the training process", "Peak memory"),
        _cost(STEP_SECONDS, "lower", "s", "a training step, in turns in one process", "Time of a step", 4),
        _cost("train_seconds", "lower", "s", "the training loop alone", "Training time"),
        _cost(
            "loss_roughness",
            "lower",
            "%",
            "spread of the total loss from one logged step to the next over the second half of a training, its trend "
            "taken off: what a stable training has little of",
            "Roughness of the loss",
            2,
        ),
        _cost(DIVERGED, "lower", "share of trials", "1 where a loss or gradient became NaN or infinite", "Diverged", 2),
    )
}


def loss(name: str) -> MetricInfo:
    """The facts of `loss:TERM`: a training loss at the end of a training, without a unit."""
    term = name.removeprefix(LOSS)
    return MetricInfo(
        name, "lower", "", None, "mean of the last tenth of the logged steps", title=f"Training loss {term}"
    )


def find(name: str) -> MetricInfo | None:
    """The facts of a cost or a loss; None for any other name."""
    return loss(name) if name.startswith(LOSS) else COSTS.get(name)
