"""Data policies, which confine where calls go, and cache policies, which keep answers; and what has been found."""
