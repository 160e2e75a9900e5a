"""Loops that users have today: what this product is measured against. Frozen, never tuned."""
