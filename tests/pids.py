"""What became of a process that is known by its id alone."""

from __future__ import annotations

import psutil


def gone(pid: int) -> bool:
    """Whether it has ended; one that only waits to be collected by whoever adopted it has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
