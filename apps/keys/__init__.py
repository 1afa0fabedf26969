"""API keys: issued, rotated, revoked.

A key is an identity that limits, budgets and usage hang on; its secrets come and go. Only a digest is stored, and the
plaintext is shown once.
"""
