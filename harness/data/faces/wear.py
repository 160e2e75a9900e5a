"""What a head wears: glasses that stand off the face, and a cap."""

from harness.data.faces.anatomy import Anatomy, Columns
from harness.data.faces.geometry import View
from harness.data.faces.skin import Layer


def worn(view: View, c: Columns, a: Anatomy) -> list[Layer]:
    """The layers of what the head wears."""
    return []
