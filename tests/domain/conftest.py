"""Random tests are judged by their outcome, not by the clock of a busy machine; a failure prints its seed."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("domain", deadline=None, print_blob=True)
settings.load_profile("domain")
