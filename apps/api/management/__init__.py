"""Describing the API."""
