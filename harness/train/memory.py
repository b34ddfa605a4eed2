"""Memory that a training process has freed stays with the process.

By default glibc hands the end of its heap back to the kernel as soon as a step's tensors are gone, and the next step
takes it again page by page: 2,000 to 4,000 page faults and 4 % of an eager step of 2 x 128 with 4,096 tokens
(docs/performance.md). Kept, it is there; the most a process holds is what its largest step needs, as before.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of the settings in glibc's malloc.h."""

NEVER = 2**31 - 1
"""Free bytes at the end of the heap from which it shrinks: the largest number that mallopt takes."""

LARGEST = 32 * 2**20
"""Bytes up to which a tensor lies in the heap, and not in pages of its own: the largest number that glibc takes."""


def keep_freed_memory() -> bool:
    """Whether it will be kept; False where malloc is not glibc's."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and all((mallopt(M_MMAP_THRESHOLD, LARGEST), mallopt(M_TRIM_THRESHOLD, NEVER)))
