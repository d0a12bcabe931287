"""Keeping programs running, with small real ones in the place of the service's."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import psutil
import pytest

from notifier.up.keeper import STUBBORN, Keeper
from notifier.up.program import Program
from notifier.up.terminal import Lines, Terminal
from tests.eventually import eventually
from tests.pids import gone


def program(text: str, *, grace: float = 10.0) -> Program:
    return Program("small", (sys.executable, "-u", "-c", text), dict(os.environ), grace)


def keep(kept: Program, meanwhile: Callable[[Keeper, asyncio.Event], Coroutine[Any, Any, None]]) -> Keeper:
    """Keep a program running while `meanwhile` lasts, then stop it; `meanwhile` is given the event that hurries."""

    async def run() -> Keeper:
        hurry = asyncio.Event()
        keeper = Keeper(kept, Terminal(), hurry)
        keeper.start()
        try:
            await asyncio.wait_for(meanwhile(keeper, hurry), 30)
        finally:
            await asyncio.wait_for(keeper.stop(), 30)
        return keeper

    return asyncio.run(run())


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.02)


def test_a_program_that_dies_is_started_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    births = tmp_path / "births"

    async def meanwhile(keeper: Keeper, _: asyncio.Event) -> None:
        await until(lambda: births.exists() and len(births.read_text()) >= 2)

    keep(program(f"open({str(births)!r}, 'a').write('x'); import sys; sys.exit(7)"), meanwhile)
    assert "ended with exit status 7; starting it again in 0.25 s" in capfd.readouterr().err


def test_a_program_that_keeps_dying_is_quoted_and_not_given_up(capfd: pytest.CaptureFixture[str]) -> None:
    async def meanwhile(keeper: Keeper, _: asyncio.Event) -> None:
        await until(lambda: keeper.early_deaths > STUBBORN)

    keep(program("raise SystemExit('no luck')"), meanwhile)
    told = capfd.readouterr().err
    assert f"{STUBBORN} times in a row" in told
    assert "keeps dying. Its last words:\nno luck" in told


def test_a_program_that_does_not_exist_is_told_and_tried_again(capfd: pytest.CaptureFixture[str]) -> None:
    async def meanwhile(keeper: Keeper, _: asyncio.Event) -> None:
        await until(lambda: keeper.early_deaths > 1)

    keep(Program("small", ("/no/such/program",), {}, 1.0), meanwhile)
    assert "small cannot be started" in capfd.readouterr().err


def test_a_stopped_program_may_finish(tmp_path: Path) -> None:
    finished, begun = tmp_path / "finished", tmp_path / "begun"
    text = f"""
import signal, time, pathlib
def finish(*_):
    time.sleep(0.3)
    pathlib.Path({str(finished)!r}).touch()
    raise SystemExit
signal.signal(signal.SIGTERM, finish)
pathlib.Path({str(begun)!r}).touch()
time.sleep(60)
"""

    async def meanwhile(keeper: Keeper, _: asyncio.Event) -> None:
        await until(begun.exists)

    keep(program(text), meanwhile)
    assert finished.exists()


DEAF = """
import signal, subprocess, sys, time, pathlib
signal.signal(signal.SIGTERM, signal.SIG_IGN)
below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1]).write_text(str(below.pid))
time.sleep(60)
"""


def deaf(begun: Path, *, grace: float) -> Program:
    return Program("small", (sys.executable, "-c", DEAF, str(begun)), dict(os.environ), grace)


def test_a_program_that_does_not_stop_is_killed_with_all_it_started(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    begun = tmp_path / "begun"

    async def meanwhile(keeper: Keeper, _: asyncio.Event) -> None:
        await until(lambda: begun.exists() and begun.read_text())

    keep(deaf(begun, grace=0.3), meanwhile)
    assert "did not stop within 0.3 s: killed" in capfd.readouterr().err
    eventually(lambda: gone(int(begun.read_text())), seconds=5, what="the kernel has cleared it away")


def test_hurry_cuts_the_grace_short(tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    async def meanwhile(keeper: Keeper, hurry: asyncio.Event) -> None:
        await until(lambda: begun.exists() and begun.read_text())
        asyncio.get_running_loop().call_later(0.2, hurry.set)

    began = time.monotonic()
    keep(deaf(begun, grace=60), meanwhile)
    assert time.monotonic() - began < 20


def test_what_a_dead_program_started_is_not_left_behind(tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    async def meanwhile(keeper: Keeper, hurry: asyncio.Event) -> None:
        await until(lambda: begun.exists() and begun.read_text())
        below = int(begun.read_text())
        os.kill(psutil.Process(below).ppid(), signal.SIGKILL)
        # The one below has no lifeline of its own: it is cleared away after the grace.
        await until(lambda: gone(below))

    keep(deaf(begun, grace=0.3), meanwhile)


def test_lines_of_two_programs_are_never_mixed(capfd: pytest.CaptureFixture[str]) -> None:
    text = "import sys\nfor _ in range(2000):\n    sys.stdout.write('{0}' * 40); sys.stdout.write('{0}' * 40 + '\\n')"

    async def run() -> None:
        hurry = asyncio.Event()
        keepers = [Keeper(program(text.replace("{0}", letter)), Terminal(), hurry) for letter in "ab"]
        for keeper in keepers:
            keeper.start()
        await until(lambda: all(keeper.early_deaths for keeper in keepers))
        await asyncio.gather(*(keeper.stop() for keeper in keepers))

    asyncio.run(run())
    written = [line for line in capfd.readouterr().err.splitlines() if line.startswith(("aa", "bb"))]
    assert len(written) >= 4000
    assert set(written) == {"a" * 80, "b" * 80}


def test_a_line_without_an_end_is_shown_at_the_end() -> None:
    taken: list[bytes] = []
    lines = Lines(taken.append)
    lines.data_received(b"one\ntw")
    lines.data_received(b"o")
    lines.connection_lost(None)
    assert taken == [b"one", b"two"]


def test_a_line_that_never_ends_is_cut() -> None:
    taken: list[bytes] = []
    lines = Lines(taken.append)
    for _ in range(100):
        lines.data_received(b"x" * 10_000)
    assert len(taken) >= 3
    assert max(map(len, taken)) < 300_000
