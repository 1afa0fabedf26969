"""The data plane: a short corridor of plain ASGI that a completion walks through. Start at `pipeline.py`.

The rooms (authenticate, examine, admit, dispatch, relay, settle) do not know one another; only the pipeline knows their
order. Configuration comes in frozen (`configuration.py`), usage goes out through `attempt.py`. Nothing here changes
configuration, and nothing here touches the database on a warm key.
"""
