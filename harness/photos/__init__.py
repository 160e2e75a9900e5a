"""Photographs and videos -> aligned faces as EXR. Nothing that trains or scores imports this room."""
