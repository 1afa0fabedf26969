"""Weir's packages. Which may import which is written in `.importlinter` and tested."""
