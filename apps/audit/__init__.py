"""The append-only record of every change, and the revision numbers by which other processes notice one.

Lies below everything that changes anything, so it knows people and things only by id and name. Nothing here is ever
updated or deleted: the database itself refuses (see `guards.py`).
"""
