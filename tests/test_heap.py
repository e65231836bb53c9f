"""Freed memory leaves the process after a long compilation."""

import ctypes
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent

# 200 MB in blocks that glibc keeps when they are freed, because the last one stays.
PROGRAM = """
import ctypes, sys
import jax
from jreid.processes import heap
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = (ctypes.c_void_p,)

def resident():
    lines = open("/proc/self/status").read().splitlines()
    [kilobytes] = (x.split()[1] for x in lines if x.startswith("VmRSS"))
    return int(kilobytes) >> 10

heap.trim_after_compiling()
blocks = [libc.malloc(100_000) for _ in range(2000)]
for block in blocks:
    ctypes.memset(block, 1, 100_000)
for block in blocks[:-1]:
    libc.free(block)
jax.monitoring.record_event_duration_secs(heap.COMPILED, float(sys.argv[1]))
print(resident())
"""


def resident_after(seconds):
    """Megabytes of a process that freed 200 and heard of such a compilation."""
    command = [sys.executable, "-c", PROGRAM, str(seconds)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(run.stdout)


@pytest.mark.slow
@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another C library"
)
def test_freed_memory_goes_back_after_a_long_compilation():
    assert resident_after(0.1) - resident_after(2.0) > 150
