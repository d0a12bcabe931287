"""A slow link between two hosts: packets take a while, not all as long as others, and some are lost.

What they say to each other goes through a TUN device on each, and a thread of ours between the two holds it up. (The
kernel's netem does the same, where the kernel has it: that of many a virtual machine has not.)
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import os
import random
import selectors
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Final

from tests.hosts.network import Host

DEVICE: Final = Path("/dev/net/tun")
SET_DEVICE: Final = 0x400454CA  # TUNSETIFF of linux/if_tun.h
WHOLE_PACKETS: Final = 0x0001 | 0x1000  # IFF_TUN, IFF_NO_PI
LONGEST: Final = 65536  # bytes of a packet

_numbers = itertools.count()


def why_not() -> str:
    """Why there can be no slow links here; empty where there can."""
    return "" if os.access(DEVICE, os.R_OK | os.W_OK) else f"needs {DEVICE}, through which a slow link goes"


@contextmanager
def slow_link(one: Host, other: Host, *, delay: float, jitter: float, loss: float) -> Iterator[None]:
    """`delay`: seconds each way, `jitter` more or less; `loss`: of all packets."""
    with ExitStack() as stack:
        here, there = (stack.enter_context(_device(host, to)) for host, to in ((one, other), (other, one)))
        stop, woken = os.pipe2(os.O_CLOEXEC)
        between = _Between(here, there, stop, delay, jitter, loss)
        thread = threading.Thread(target=between.run, name="slow link", daemon=True)
        thread.start()
        try:
            yield
        finally:
            os.close(woken)
            thread.join(10)
            os.close(stop)


@contextmanager
def _device(host: Host, to: Host) -> Iterator[int]:
    """A device by which `host` reaches the other; what it sends there is to be read here."""
    name = f"slow{next(_numbers)}"
    with host:
        file = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(file, SET_DEVICE, struct.pack("16sH22x", name.encode(), WHOLE_PACKETS))
        host.ip("link", "set", name, "up")
        host.ip("route", "add", f"{to.address}/32", "dev", name, "src", host.address)
        yield file
    finally:
        os.close(file)  # and with it go the device and its route


class _Between:
    def __init__(self, here: int, there: int, stop: int, delay: float, jitter: float, loss: float) -> None:
        self._ends = {here: there, there: here}
        self._stop = stop
        self._delay = delay
        self._jitter = jitter
        self._loss = loss
        self._chance = random.Random(0)
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._numbers = itertools.count()

    def run(self) -> None:
        with selectors.DefaultSelector() as ready:
            for end in (*self._ends, self._stop):
                ready.register(end, selectors.EVENT_READ)
            while True:
                events = ready.select(max(0.0, self._waiting[0][0] - monotonic()) if self._waiting else None)
                for key, _ in events:
                    if key.fd == self._stop:
                        return
                    self._take(key.fd)
                self._pass_on()

    def _take(self, end: int) -> None:
        with suppress(BlockingIOError):
            while packet := os.read(end, LONGEST):
                if self._chance.random() >= self._loss:
                    due = monotonic() + self._delay + self._chance.uniform(-self._jitter, self._jitter)
                    heapq.heappush(self._waiting, (due, next(self._numbers), self._ends[end], packet))

    def _pass_on(self) -> None:
        while self._waiting and self._waiting[0][0] <= monotonic():
            _, _, end, packet = heapq.heappop(self._waiting)
            with suppress(OSError):  # no room: lost, as in any network
                os.write(end, packet)
