"""What is running: the version of the newest heading in CHANGELOG.md, which a test compares. The revision that an
image was built of is the setting WEIR_REVISION."""

from __future__ import annotations

VERSION = "0.2.0"
