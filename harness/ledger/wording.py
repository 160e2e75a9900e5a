"""How metrics are called, which way is better, and how numbers are written."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass

ARROW = {"higher": "↑", "lower": "↓", "none": ""}


@dataclass(frozen=True)
class Label:
    """What a reader needs of one metric. ``decimals`` is how many are written."""

    name: str
    title: str
    direction: str = "none"  # higher | lower | none
    unit: str = ""
    decimals: int | None = None
    description: str = ""

    @property
    def arrow(self) -> str:
        return ARROW[self.direction]

    @property
    def words(self) -> str:
        """The title inside a sentence: without its capital, unless that is an abbreviation."""
        return self.title if self.title[1:2].isupper() else self.title[:1].lower() + self.title[1:]

    @property
    def better(self) -> str:
        return {"higher": "higher is better", "lower": "lower is better", "none": ""}[self.direction]

    def write(self, value: float) -> str:
        return number(value, self.decimals)

    def interval(self, low: float, high: float) -> str:
        return f"[{self.write(low)}, {self.write(high)}]" if math.isfinite(low) and math.isfinite(high) else ""


def number(value: float | None, decimals: int | None = None) -> str:
    """Plain text of a number: fixed decimals, or three significant digits; a true minus sign; an en dash for none."""
    if value is None or not math.isfinite(value):
        return "–"
    if decimals is None:
        size = math.floor(math.log10(abs(value))) if value else 0
        decimals = max(0, 2 - size)
    text = f"{value:,.{decimals}f}"
    if text.startswith("-"):
        text = "−" + text[1:] if any(c in "123456789" for c in text) else text[1:]
    return text


_KNOWN = {
    label.name: label
    for label in (
        Label("identity_transfer", "Identity transfer", "higher", "", 3, "0 = copy of the driver, 1 = the exact swap"),
        Label("off_axis", "Off-axis residual", "lower", "", 3, "what is neither driver nor truth: blur, collapse"),
        Label("leak_gap", "Leak gap", "lower", "", 3, "0 = as good as self-reconstruction, 1 = a copy"),
        Label("swap_error", "Swap error", "lower", "", 4, "L1 distance of the swap to the exact truth, in the face"),
        Label("swap_ratio", "Swap / reconstruction error", "lower", "×", 2, "swap error over reconstruction error"),
        Label("identity_transfer_embed", "Identity transfer (embedding)", "higher", "", 3, "the same, by a recogniser"),
        Label("off_axis_embed", "Off-axis residual (embedding)", "lower", "", 3),
        Label("id_cos_target", "Similarity to target", "higher", "", 3),
        Label("id_cos_driver", "Similarity to driver", "lower", "", 3),
        Label("id_retrieval", "Retrieval of target", "higher", "", 3),
        Label("id_tar", "Verification (TAR)", "higher", "", 3),
        Label("identity_variance_share", "Identity share of latent", "lower", "", 3, "η² between matched latents"),
        Label("identity_bits", "Usable identity", "lower", "bits", 3),
        Label("kl_nats", "KL", "none", "nats", 1, "total over the latent, per image"),
        Label("kl_per_cell", "KL per cell", "none", "nats", 2),
        Label("active_units", "Active units", "none", "", 0),
        Label("identity_factor_r2", "Identity factors in the latent", "lower", "", 3, "R² over many people"),
        Label("rec_lpips", "LPIPS, reconstruction", "lower", "", 4),
        Label("swap_lpips", "LPIPS, swap", "lower", "", 4),
        Label("rec_random_feature_distance", "Random-feature distance, reconstruction", "lower", "", 4, "not LPIPS"),
        Label("swap_random_feature_distance", "Random-feature distance, swap", "lower", "", 4, "not LPIPS"),
        Label("probe_accuracy", "Probe accuracy", "none", "", 3, "saturates; a footnote, not a result"),
        Label("landmark_error", "Landmark error", "lower", "eye distances", 4),
        Label("yaw_error", "Yaw error", "lower", "°", 2),
        Label("pitch_error", "Pitch error", "lower", "°", 2),
        Label("roll_error", "Roll error", "lower", "°", 2),
        Label("expression_error", "Expression error", "lower", "SD", 3, "driver's expression against the swap's"),
        Label("rec_l1_face", "Reconstruction L1, face", "lower", "", 4),
        Label("rec_l1_background", "Reconstruction L1, background", "lower", "", 4),
        Label("rec_psnr", "Reconstruction PSNR", "higher", "dB", 2),
        Label("rec_ssim", "Reconstruction SSIM", "higher", "", 3),
        Label("rec_ms_ssim", "Reconstruction MS-SSIM", "higher", "", 3),
        Label("swap_psnr", "Swap PSNR", "higher", "dB", 2),
        Label("swap_ssim", "Swap SSIM", "higher", "", 3),
        Label("rec_psnr_linear", "Reconstruction PSNR, linear light", "higher", "dB", 2),
        Label("detection_rate", "Faces found in swaps", "higher", "", 3),
        Label("cycle_error", "Cycle error", "lower", "", 4, "A to B and back to A; a copy scores 0"),
        Label("id_auc", "Recogniser's own AUC", "none", "", 4),
        Label("cbe_constant_latent", "Grid from a constant latent", "lower", "%", 3),
        Label("cbe_gain_spread", "Spread of filter gains", "lower", "", 4),
        Label("identity_bits_nonlinear", "Usable identity, nonlinear probe", "lower", "bits", 3),
        Label("leak_gap_no_shift", "Leak gap without mean shift", "lower", "", 3),
        Label("leak_used", "Leak that the decoder uses", "lower", "", 3),
        Label("interpolation_error", "Error half-way between latents", "lower", "", 4, "to the true picture half-way"),
        Label("interpolation_excess", "The same, over reconstruction", "lower", "", 4),
        Label("ppl", "Path length (PPL)", "lower", "", 4, "a collapsed decoder scores best"),
        Label("swap_images_per_s", "Swap speed", "higher", "images/s", 0),
        Label("train_images_per_s", "Training speed", "higher", "images/s", 0),
        Label("parameters", "Parameters", "none", "", 0),
        Label("flops", "FLOPs, one image", "lower", "", 0),
        Label("latent_cells", "Latent cells", "none", "", 0),
        Label("latent_values", "Latent values", "none", "", 0),
        Label("peak_memory_mb", "Peak memory", "lower", "MB", 0),
        Label("train_seconds", "Training time", "lower", "s", 0),
    )
}

HEADLINES = (
    "identity_transfer",
    "leak_gap",
    "expression_error",
    "identity_variance_share",
    "rec_l1_face",
    "cbe_db_1",
    "swap_images_per_s",
)
COSTS = (
    "parameters",
    "flops",
    "latent_cells",
    "latent_values",
    "train_images_per_s",
    "swap_images_per_s",
    "peak_memory_mb",
    "train_seconds",
)


_LATTICE = {
    "db": ("", "lower", "dB", 1),
    "rms": (", RMS", "lower", "%", 3),
    "floor_db": (", floor of the data", "none", "dB", 1),
    "floor_rms": (", floor of the data, RMS", "none", "%", 3),
    "sensitivity": (", smallest that is seen", "none", "%", 3),
    "flag": (", seen", "lower", "share of replicates", 2),
}


def is_named(name: str) -> bool:
    """Whether a score or cost of this exact name is listed here, so that nothing need be imported to know it."""
    return name in _KNOWN


@functools.cache
def label(name: str) -> Label:
    """The label of a metric: known here, else as its evaluator describes it, else its bare name."""
    return (
        _KNOWN.get(name) or _family(name) or _registered().get(name) or Label(name, name.replace("_", " ").capitalize())
    )


def _family(name: str) -> Label | None:
    """Metrics that come in families: lattice levels, factors read by the regressor, and floors."""
    if found := re.fullmatch(r"cbe_(image_)?(db|rms|floor_db|floor_rms|sensitivity|flag)_(\d)", name):
        tail, direction, unit, decimals = _LATTICE[found[2]]
        title = f"Lattice {2 ** int(found[3])} px{' in the image' if found[1] else ''}{tail}"
        return Label(name, title, direction, unit, decimals)
    if found := re.fullmatch(r"(rec_|floor_)?(\w+)_(r2|gain)", name):
        where = {"rec_": " of reconstructions", "floor_": " of real images", None: ""}[found[1]]
        title = f"{found[2].replace('_', ' ').capitalize()} {'R²' if found[3] == 'r2' else 'gain'}{where}"
        return Label(name, title, "higher" if found[3] == "r2" and found[1] != "floor_" else "none", "", 2)
    base = _KNOWN.get(name.removesuffix("_floor"))
    if base and name.endswith("_floor"):
        return Label(name, f"{base.title}, floor of the reader", "none", base.unit, base.decimals)
    return None


@functools.cache
def _registered() -> dict[str, Label]:
    """Metrics that other files register. Imports torch, so it is asked only for names that are not known above."""
    from harness import registry

    return {
        info.name: Label(
            info.name, info.name.replace("_", " ").capitalize(), info.direction, info.unit, None, info.description
        )
        for entry in registry.entries("metric").values()
        for info in entry.object.infos
    }
