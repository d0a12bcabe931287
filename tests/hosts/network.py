"""Hosts on one machine: each a network namespace of its own, joined by a switch that is one, too.

The namespaces have no names: the kernel removes each with its links when the last who uses it ends, and so nothing is
left behind, however a run ends. Nothing of this reaches the machine's own network.

A thread goes to a host by `with host:`, and what it begins there stays there: sockets, threads, programs.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NEW_NETWORK: Final = 0x40000000  # CLONE_NEWNET of linux/sched.h
SUBNET: Final = "10.91.7"  # within the namespaces only: whatever the machine has outside is another network
# Begins like a hardware address that somebody gave out himself, and nobody has it.
NOBODY: Final = "02:00:00:00:00:01"

_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str:
    """Why there can be no hosts here; empty where there can."""
    if not Path("/proc/thread-self/ns/net").exists():
        return "needs Linux, whose network namespaces are the hosts"
    if not shutil.which("ip"):
        return "needs the program ip (Debian: apt-get install iproute2)"
    try:
        with Network() as network:
            network.host("probe")
    except (OSError, subprocess.CalledProcessError) as error:
        return f"needs the right to make networks (root, or make hosts, which makes a user namespace): {error}"
    return ""


class Namespace:
    """A network of its own, with nothing but a loopback. It ends with the last who is in it and with `close`."""

    def __init__(self) -> None:
        self._threads = threading.local()
        with _elsewhere():
            self._here = _current()

    def __enter__(self) -> Namespace:
        self._left.append(_current())
        _go_to(self._here)
        return self

    def __exit__(self, *_: object) -> None:
        before = self._left.pop()
        _go_to(before)
        os.close(before)

    @property
    def _left(self) -> list[int]:
        """Where each `with` of this thread came from."""
        left: list[int] = self._threads.__dict__.setdefault("left", [])
        return left

    def ip(self, *arguments: str) -> None:
        """Run `ip` in it. Raises: subprocess.CalledProcessError."""
        with self:
            subprocess.run(["ip", *arguments], check=True, capture_output=True)

    @property
    def path(self) -> str:
        """Under which other programs find it, as long as we live."""
        return f"/proc/{os.getpid()}/fd/{self._here}"

    def close(self) -> None:
        os.close(self._here)


class Host(Namespace):
    """One host, with one link to the switch and one address."""

    def __init__(self, name: str, address: str, switch: Namespace) -> None:
        super().__init__()
        self.name = name
        self.address = address
        self._switch = switch
        self._port = f"to-{name}"[:15]
        switch.ip("link", "add", "name", self._port, "type", "veth", "peer", "name", "eth0", "netns", self.path)
        switch.ip("link", "set", self._port, "master", "switch", "up")
        self.ip("address", "add", f"{address}/24", "dev", "eth0")
        self.ip("link", "set", "lo", "up")
        self.ip("link", "set", "eth0", "up")

    # --- what befalls its network -------------------------------------------------------------------------

    @contextmanager
    def down(self) -> Iterator[None]:
        """Its link is down: whoever sends from there is told so at once, and the others hear nothing."""
        self.ip("link", "set", "eth0", "down")
        try:
            yield
        finally:
            self.ip("link", "set", "eth0", "up")

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Packets from and to it vanish, and nobody is told: no reset, no error, a link that is up."""
        self._switch.ip("link", "set", self._port, "nomaster")
        try:
            yield
        finally:
            self._switch.ip("link", "set", self._port, "master", "switch")

    @contextmanager
    def silent_to(self, other: Host) -> Iterator[None]:
        """The same between these two alone: their packets go to a hardware address that nobody has."""
        pairs = ((self, other), (other, self))
        for one, another in pairs:
            one.ip("neighbour", "replace", another.address, "lladdr", NOBODY, "nud", "permanent", "dev", "eth0")
        try:
            yield
        finally:
            for one, another in pairs:
                one.ip("neighbour", "delete", another.address, "dev", "eth0")


class Network:
    """A switch and its hosts; use it as a context."""

    def __init__(self) -> None:
        self._namespaces: list[Namespace] = []
        self._numbers = itertools.count(1)

    def __enter__(self) -> Network:
        self._switch = Namespace()
        self._namespaces.append(self._switch)
        self._switch.ip("link", "add", "name", "switch", "type", "bridge")
        self._switch.ip("link", "set", "switch", "up")
        return self

    def __exit__(self, *_: object) -> None:
        for namespace in reversed(self._namespaces):
            namespace.close()

    def host(self, name: str) -> Host:
        host = Host(name, f"{SUBNET}.{next(self._numbers)}", self._switch)
        self._namespaces.append(host)
        return host


def _current() -> int:
    """The network of this thread, as an open file."""
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _go_to(network: int) -> None:
    """Let this thread, and no other, be in it."""
    if _libc.setns(network, NEW_NETWORK):
        raise _problem("setns")


@contextmanager
def _elsewhere() -> Iterator[None]:
    """In a new network; back afterwards."""
    before = _current()
    try:
        if _libc.unshare(NEW_NETWORK):
            raise _problem("unshare")
        try:
            yield
        finally:
            _go_to(before)
    finally:
        os.close(before)


def _problem(call: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{call}: {os.strerror(number)}")
