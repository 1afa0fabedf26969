"""A process that holds secrets leaves none behind: no core dump, and no debugger of another process of its user.

Root on the host is not kept out.
"""

from __future__ import annotations

import contextlib
import ctypes

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def forbid_dumps() -> None:
    """For this process and its forks; a program that it starts begins anew. What the system lacks is left out."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
