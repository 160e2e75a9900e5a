"""The facts of what a trial costs, and of its training losses: numbers that no evaluator yields."""

from __future__ import annotations

from metrics.info import MetricInfo

LOSS = "loss:"  # `loss:total`, `loss:face_l1`, `loss:perceptual.lpips`

COSTS = {
    info.name: info
    for info in (
        MetricInfo("parameters", "none", "", None, "trained values of the model", title="Parameters", decimals=0),
        MetricInfo("flops", "lower", "", None, "of one swap", title="FLOPs, one image", decimals=0),
        MetricInfo("latent_cells", "none", "", None, "height x width of the latent", title="Latent cells", decimals=0),
        MetricInfo("latent_values", "none", "", None, "cells x channels", title="Latent values", decimals=0),
        MetricInfo(
            "train_images_per_s",
            "higher",
            "images/s",
            None,
            "median over the blocks of a training",
            title="Training speed",
            decimals=0,
        ),
        MetricInfo(
            "swap_images_per_s",
            "higher",
            "images/s",
            None,
            "swaps at batch 32, median over blocks",
            title="Swap speed",
            decimals=0,
        ),
        MetricInfo("peak_memory_mb", "lower", "MB", None, "of the training process", title="Peak memory", decimals=0),
        MetricInfo("train_seconds", "lower", "s", None, "the training loop alone", title="Training time", decimals=0),
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
