"""Providers' usage reports as they come, read into lines. Pure: bytes in, lines out."""
