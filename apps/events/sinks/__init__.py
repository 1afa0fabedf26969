"""Kinds of places that events are sent to: one module each, and what all of them promise."""
