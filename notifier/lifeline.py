"""A child that ends with its parent, even one that was killed and could stop nobody."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

# Loaded here and not in the function, because between fork and exec nothing may be imported or opened.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

AVAILABLE = _libc is not None


def end_with_parent(number: int = signal.SIGTERM, *, parent: int | None = None) -> None:
    """Have the kernel send us signal `number` when our parent dies; elsewhere than Linux, do nothing.

    Call it in the child, after any change of user (the kernel forgets the wish then). The "parent" is the
    thread that started the child: start children from one that lives as long as the program.
    `parent` is the process id that is expected; one that died before this call ends the child at once.
    A signal that is ignored, as a shell has a command in the background ignore SIGINT, is heeded again.
    """
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
    if _libc is None:
        return
    if _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), number)
