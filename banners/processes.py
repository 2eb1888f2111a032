"""Worker processes: how many, and that none outlives its program."""

import ctypes
import math
import os
import signal
from contextlib import suppress
from pathlib import Path

MEMORY = Path("/proc/meminfo")
CONTAINER = Path("/sys/fs/cgroup")
QUOTA = Path("/sys/fs/cgroup/cpu.max")  # Linux' control groups, version 2: microseconds of CPU a period, or "max"


def available_cores() -> int:
    """How many cores this process may use: those it is bound to, within its container's quota. At least 1."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    with suppress(OSError, ValueError):
        quota, period = map(float, QUOTA.read_text(encoding="ascii").split())
        cores = min(cores, math.ceil(quota / period))
    return max(1, cores)


def available_memory() -> int | None:
    """How many bytes can be taken without swapping, within this process's container; None where Linux does not tell."""
    free: int | None = None
    with suppress(OSError, ValueError, IndexError):
        told = MEMORY.read_text(encoding="ascii").split("MemAvailable:")[1].split()[0]
        free = 1024 * int(told)
        limit, used = (int((CONTAINER / name).read_text(encoding="ascii")) for name in ("memory.max", "memory.current"))
        free = min(free, limit - used)
    return free


def begin_worker() -> None:
    """Ignore interrupts, which the parent handles, and end if the parent is killed (Linux' prctl, PR_SET_PDEATHSIG)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def keep_freed_memory() -> None:
    """Keep freed memory for what is allocated next (glibc's mallopt with M_MMAP_MAX and M_TRIM_THRESHOLD).

    A network's features are large and short-lived. If they are given back each time, the kernel spends more time on
    clearing pages than the network on computing. This halves the time of EfficientNet on two cores.
    """
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-4, 0)
        libc.mallopt(-1, 2**31 - 1)


def give_freed_memory_back() -> None:
    """Give freed memory back at once, for a server (glibc's mallopt with M_MMAP_THRESHOLD and M_ARENA_MAX).

    Otherwise each thread keeps as much as its largest picture took.
    """
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 2**17)
        libc.mallopt(-8, 2)
