"""Keeps one program running: what dies is started again, soon at first and then more slowly, and never given up."""

from __future__ import annotations

import asyncio
import signal
import time

from notifier.up.program import Child, Program, happened
from notifier.up.terminal import Terminal

# A program that has lived this long was sound: its death is news, not the next of a series.
_SOUND = 10.0
# After this many early deaths in a row the program's last words are shown each time.
STUBBORN = 3
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 5.0


class Keeper:
    """Runs one program until it is told to stop."""

    def __init__(self, program: Program, terminal: Terminal, hurry: asyncio.Event) -> None:
        self.name = program.name
        self.early_deaths = 0  # in a row
        self.last_words = ""
        self.running = False
        self._program = program
        self._terminal = terminal
        self._hurry = hurry
        self._stopping = asyncio.Event()
        self._strays: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep())

    async def stop(self) -> None:
        """Stop the program and return when it has ended, with all that it started."""
        self._stopping.set()
        if self._task is not None:
            await self._task
        if self._strays:
            await asyncio.wait(self._strays)

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                child = await Child.start(self._program, self._terminal)
            except OSError as error:
                await self._died(f"cannot be started: {error}", str(error), lived=0.0)
                continue
            self.running = True
            if not await happened(child.wait(), self._stopping.wait(), within=None):
                await child.stop(self._hurry)
                return
            self.running = False
            stray = asyncio.create_task(child.clear_away(self._hurry))
            self._strays.add(stray)
            stray.add_done_callback(self._strays.discard)
            await self._died(
                f"(pid {child.pid}) {_described(await child.wait())}",
                await child.last_words(),
                lived=time.monotonic() - began,
            )

    async def _died(self, how: str, last_words: str, *, lived: float) -> None:
        if self._stopping.is_set():
            return
        self.early_deaths = self.early_deaths + 1 if lived < _SOUND else 1
        self.last_words = last_words
        pause = min(_FIRST_PAUSE * 2 ** (self.early_deaths - 1), _LONGEST_PAUSE)
        again = f", {self.early_deaths} times in a row" if self.early_deaths > 1 else ""
        self._terminal.complain(f"{self.name} {how}{again}; starting it again in {pause:g} s")
        if self.early_deaths >= STUBBORN:
            self._terminal.complain(f"{self.name} keeps dying. Its last words:\n{last_words or '(none)'}")
        await happened(self._stopping.wait(), self._hurry.wait(), within=pause)


def _described(status: int) -> str:
    if status >= 0:
        return f"ended with exit status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
