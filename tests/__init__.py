"""The proof. `make test` runs all of it; `tests/run.py` says how."""
