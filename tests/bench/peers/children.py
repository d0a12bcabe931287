"""The processes that a peer runs in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, Final

from notifier import lifeline

ROOT: Final = Path(__file__).resolve().parents[3]
BIN: Final = Path(sys.executable).parent
STOP_TIMEOUT: Final = 20.0  # seconds: Celery and Dramatiq finish what they have begun
READY: Final = "ready"


def environment(**extra: str) -> dict[str, str]:
    """What any child needs, and nothing of the developer's."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR")
    return {name: os.environ[name] for name in kept if name in os.environ} | extra


def module(name: str) -> list[str]:
    """The command that runs a module of these peers."""
    return [sys.executable, "-m", f"tests.bench.peers.{name}"]


def run(command: Sequence[str], **extra: str) -> str:
    """What a program printed. Raises: RuntimeError with its last words where it failed."""
    done = subprocess.run(command, cwd=ROOT, env=environment(**extra), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{_end(done.stderr or done.stdout)}")
    return done.stdout


def wait_for_go() -> None:
    """Called by a worker when all is imported and connected: two that start apart would not be two for a while."""
    print(READY, flush=True)
    sys.stdin.readline()


class Crew:
    """Processes that work at the same time."""

    def __init__(self) -> None:
        self._running: list[tuple[subprocess.Popen[str], IO[str]]] = []

    @contextmanager
    def working(
        self, commands: Sequence[Sequence[str]], extra: Mapping[str, str], *, gated: bool = True
    ) -> Iterator[None]:
        """Run them; where `gated`, each waits by `wait_for_go` until all are ready."""
        try:
            for command in commands:
                self._start(command, extra, gated=gated)
            if gated:
                for child, _ in self._running:
                    self._await_ready(child)
                for child, _ in self._running:
                    assert child.stdin is not None
                    child.stdin.write("go\n")
                    child.stdin.flush()
            yield
            self.check()
        finally:
            self._stop()

    def check(self) -> None:
        """Raises: RuntimeError where one has ended."""
        for child, log in self._running:
            if child.poll() is not None:
                log.seek(0)
                raise RuntimeError(f"{child.args!r} ended with {child.returncode}:\n{_end(log.read())}")

    def _start(self, command: Sequence[str], extra: Mapping[str, str], *, gated: bool) -> None:
        log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed by _stop)
        child = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment(**extra),
            text=True,
            stdin=subprocess.PIPE if gated else subprocess.DEVNULL,
            stdout=subprocess.PIPE if gated else log,
            stderr=log,
            start_new_session=True,  # so that the children of its own end with it
            preexec_fn=partial(lifeline.end_with_parent, signal.SIGTERM, parent=os.getpid()),
        )
        self._running.append((child, log))

    def _await_ready(self, child: subprocess.Popen[str]) -> None:
        assert child.stdout is not None
        for line in child.stdout:
            if line.strip() == READY:
                return
        child.wait(STOP_TIMEOUT)
        self.check()

    def _stop(self) -> None:
        for child, _ in self._running:
            child.terminate()
        for child, log in self._running:
            with suppress(subprocess.TimeoutExpired):
                child.wait(STOP_TIMEOUT)
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            for stream in (child.stdin, child.stdout, log):
                if stream is not None:
                    with suppress(BrokenPipeError):
                        stream.close()
        self._running.clear()


def _end(text: str) -> str:
    return "\n".join(text.strip().splitlines()[-15:])
