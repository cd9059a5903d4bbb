"""Memory that is let go of goes back to the system.

Ten threads each hold an answer of some megabytes for a moment. An allocator that keeps what every thread has let go of,
in case that thread wants it again, would hold several times what is in use.
"""

from __future__ import annotations

import ctypes
from contextlib import suppress

import pyarrow as pa

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""glibc's own numbers, from malloc.h."""
_LARGE_BYTES = 256 * 1024


def give_back() -> None:
    """For this process, from now on: few heaps for all threads, and large blocks outside of them, Arrow's as well.

    Where the C library is not glibc, nothing but Arrow's pool changes.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 2)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
