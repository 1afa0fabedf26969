"""Where the keys that seal the data keys are kept: one file a kind, one protocol for all.

Only `catalog.keyring` chooses among them. None of them ever hands its own keys out.
"""
