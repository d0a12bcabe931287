"""One program as a child: in a session of its own, so that the terminal's Ctrl-C reaches it through us alone."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from notifier import lifeline
from notifier.up.terminal import Lines, Terminal


@dataclass(frozen=True, slots=True)
class Program:
    """What to run and how long it may take to stop."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]  # whole: nothing is added to it
    grace: float  # seconds between SIGTERM and SIGKILL


class Child:
    """A running program. It and what it started form one process group, named by `pid`."""

    def __init__(
        self,
        program: Program,
        child: asyncio.subprocess.Process,
        lines: Lines,
        pipe: asyncio.ReadTransport,
        terminal: Terminal,
    ) -> None:
        self._program = program
        self._child = child
        self._lines = lines
        self._pipe = pipe
        self._terminal = terminal
        self.pid = child.pid

    @classmethod
    async def start(cls, program: Program, terminal: Terminal, *, shown: bool = True) -> Child:
        """`shown`: whether its output is passed on to the terminal.

        Raises: OSError where the program cannot be run.
        """
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        try:
            child = await asyncio.create_subprocess_exec(
                *program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                env=program.environment,
                start_new_session=True,
                preexec_fn=partial(lifeline.end_with_parent, signal.SIGTERM, parent=os.getpid()),
            )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        # A pipe of ours and not asyncio's: `wait` of that may last until every grandchild has closed it.
        lines = Lines(partial(terminal.pass_on, program.name) if shown else lambda _: None)
        pipe, _ = await loop.connect_read_pipe(lambda: lines, os.fdopen(reading, "rb"))
        return cls(program, child, lines, pipe, terminal)

    async def wait(self) -> int:
        """The exit status, negative for a signal."""
        return await self._child.wait()

    async def last_words(self) -> str:
        """The end of a dead child's output."""
        with contextlib.suppress(TimeoutError):  # what it started may hold the pipe
            await asyncio.wait_for(self._lines.ended.wait(), 0.5)
        return "\n".join(self._lines.last)

    async def stop(self, hurry: asyncio.Event) -> int:
        """SIGTERM, and SIGKILL after the program's grace or when `hurry` is set. Returns the exit status."""
        with contextlib.suppress(ProcessLookupError):
            self._child.terminate()
        if not await happened(self._child.wait(), hurry.wait(), within=self._program.grace):
            patience = "was not waited for" if hurry.is_set() else f"did not stop within {self._program.grace:g} s"
            self._terminal.complain(f"{self._program.name} (pid {self.pid}) {patience}: killed")
        self._kill_group()
        status = await self._child.wait()
        await self.close()
        return status

    async def clear_away(self, hurry: asyncio.Event) -> None:
        """See to it that what a dead child started ends too, within the program's grace."""
        if not lifeline.AVAILABLE:
            _signal_group(self.pid, signal.SIGTERM)
        gone = asyncio.create_task(_gone(self.pid))
        if not await happened(gone, hurry.wait(), within=self._program.grace):
            self._kill_group()
        await self.close()

    async def close(self) -> None:
        """Take what is left of a dead child's output."""
        await self.last_words()
        self._pipe.close()
        await self._lines.ended.wait()

    def _kill_group(self) -> None:
        _signal_group(self.pid, signal.SIGKILL)


async def happened(wanted: Awaitable[object], hurry: Awaitable[object], *, within: float | None) -> bool:
    """Whether `wanted` came true before `hurry` did and within so many seconds."""
    first, second = asyncio.ensure_future(wanted), asyncio.ensure_future(hurry)
    await asyncio.wait({first, second}, timeout=within, return_when=asyncio.FIRST_COMPLETED)
    for waiting in (first, second):
        if not waiting.done():
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
    return not first.cancelled()


async def _gone(group: int) -> None:
    while _lives(group):
        await asyncio.sleep(0.1)


def _lives(group: int) -> bool:
    if not _signal_group(group, 0):
        return False
    # Dead ones that nobody has reaped count, too: in a container the first process may never do that.
    members = [
        fields for fields in map(_state_and_group, Path("/proc").glob("[0-9]*/stat")) if fields[1:] == [str(group)]
    ]
    return any(state != "Z" for state, _ in members) if members else not Path("/proc/self/stat").exists()


def _state_and_group(stat: Path) -> list[str]:
    try:
        state, _, group = stat.read_text(errors="replace").rpartition(")")[2].split()[:3]
    except OSError:
        return ["", ""]
    return [state, group]


def _signal_group(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except OSError:
        return False
    return True
