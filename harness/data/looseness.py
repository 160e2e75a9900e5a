"""How loosely the pictures of a face set are aligned: plain numbers, which planning reads without the renderer."""

from __future__ import annotations

from typing import NamedTuple


class Looseness(NamedTuple):
    """What alignment takes away: how far the pictures of a face set differ beside yaw, gaze and expression.

    roll, pitch: degrees either way; shift: half frames either way; zoom: share of the head's size either way; light:
    share of the lamp's range about its middle; crop: side of the frame, 1 where the whole head fills it.
    """

    roll: float
    pitch: float
    shift: float
    zoom: float
    light: float
    crop: float = 1.0


FREE = Looseness(roll=15.0, pitch=20.0, shift=0.08, zoom=0.08, light=1.0)
ALIGNED = Looseness(roll=2.0, pitch=12.0, shift=0.005, zoom=0.01, light=0.05)
VARIATIONS = {"aligned": ALIGNED, "free": FREE}
