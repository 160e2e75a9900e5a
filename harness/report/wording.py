"""The report's view of `harness.wording`."""

from harness.wording import ARROW, COSTS, HEADLINES, Label, count, label, number

__all__ = ["ARROW", "COSTS", "HEADLINES", "Label", "count", "label", "number"]
