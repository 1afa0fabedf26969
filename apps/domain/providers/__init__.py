"""Vendors: where each is, how it is spoken to, and in what it differs from its dialect's plain reading.

To add one, write a file with a `VENDOR` and name it in `registry`.
"""
