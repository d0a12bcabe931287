"""What a person sees: every program's output, never mixed within a line."""

from __future__ import annotations

import asyncio
import os
import select
from collections import deque
from collections.abc import Callable

_LONGEST_LINE = 256 * 1024  # bytes; a longer one is cut, so that no program can fill our memory


class Terminal:
    """Standard output for what we say, standard error for our troubles and for what the programs write."""

    def __init__(self, lost: Callable[[], None] = lambda: None) -> None:
        """`lost` is called once, when nobody reads any more (a closed terminal, a pipe's end)."""
        self._named = os.isatty(2)  # a file or a collector gets the lines as they were written
        self._lost = lost
        self._open = True

    def say(self, text: str) -> None:
        self._write(1, f"{text}\n".encode())

    def complain(self, text: str) -> None:
        self._write(2, f"{text}\n".encode())

    def pass_on(self, name: str, line: bytes) -> None:
        """One line of a program's output, without its end."""
        self._write(2, (f"{name:<9}| ".encode() if self._named else b"") + line + b"\n")

    def _write(self, descriptor: int, text: bytes) -> None:
        while text and self._open:
            try:
                text = text[os.write(descriptor, text) :]
            except BlockingIOError:  # whoever gave us the descriptor made it so
                select.select([], [descriptor], [])
            except OSError:
                self._open = False
                self._lost()


class Lines(asyncio.Protocol):
    """Cuts one program's output into lines, passes them on and remembers the last ones."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        self._take = take
        self._rest = b""
        self.last: deque[str] = deque(maxlen=20)
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._pass_on(line)
        if len(self._rest) > _LONGEST_LINE:
            self._pass_on(self._rest)
            self._rest = b""

    def connection_lost(self, error: Exception | None) -> None:
        if self._rest:
            self._pass_on(self._rest)
        self.ended.set()

    def _pass_on(self, line: bytes) -> None:
        self.last.append(line.decode(errors="replace"))
        self._take(line)
