"""What threads have let go of is not kept for them."""

from __future__ import annotations

import subprocess
import sys

FREES = """
import os, threading
import psutil
from tap_oracle_wms.memory import give_back
give_back()
def resident(): return psutil.Process().memory_info().rss
before = resident()
meet = threading.Barrier(16)
def hold():
    # The second time glibc has learnt, from the first, to keep blocks of this size in the thread's heap.
    for _ in range(2):
        kept = [bytearray(os.urandom(2_000_000)) for _ in range(4)]
        meet.wait()
        del kept
        meet.wait()
threads = [threading.Thread(target=hold) for _ in range(16)]
[one.start() for one in threads]
[one.join() for one in threads]
print(resident() - before)
import pyarrow
print(pyarrow.default_memory_pool().backend_name)
"""


def test_large_blocks_go_back_to_the_system() -> None:
    done = subprocess.run([sys.executable, "-c", FREES], capture_output=True, text=True, check=True)
    grown, pool = done.stdout.split()
    assert int(grown) < 2_000_000  # of 128 MB that were held at once, twice
    assert pool == "system"
