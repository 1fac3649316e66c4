"""The memory of the process. Recognition allocates and frees all the time, on threads of its own."""

import ctypes
import sys
from pathlib import Path

PAGE_MB = 4096 / 1e6


def resident_mb() -> float:
    """Memory that the process holds, in MB; 0 where the system does not tell."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * PAGE_MB if statm.exists() else 0.0


def return_freed_memory() -> None:
    """Have glibc hand freed memory back to the system; it keeps it otherwise."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # not in musl
        if trim is not None:
            trim(0)
