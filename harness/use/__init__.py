"""Using what was trained: swapping pictures and videos, exporting networks, and the Python interface."""
