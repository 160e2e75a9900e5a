"""The report's view of `harness.table`."""

from harness.table import Array, Key, Table, Trial, Variant, load

__all__ = ["Array", "Key", "Table", "Trial", "Variant", "load"]
