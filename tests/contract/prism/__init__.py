"""A mock of Twilio's Messages API, made from Twilio's own description of it by Prism, an npm package.

Its version is pinned in `package-lock.json`; it is installed here at first use. `--errors`: a request that is not as
the description says is refused.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import requests

from tests.eventually import eventually
from tests.ports import free_port

FOLDER: Final = Path(__file__).parent
PROGRAM: Final = FOLDER / "node_modules" / "@stoplight" / "prism-cli" / "dist" / "index.js"
INSTALL: Final = ("ci", "--ignore-scripts", "--no-audit", "--no-fund")


class Unavailable(Exception):
    """Raised when it cannot run here; says what is missing."""


@contextmanager
def serving(description: Path) -> Iterator[str]:
    """The address of a mock of what is described. Raises: Unavailable."""
    node = _installed()
    port = free_port()
    command = [node, str(PROGRAM), "mock", "--errors", "--host", "127.0.0.1", "--port", str(port), str(description)]
    with tempfile.TemporaryFile("w+") as said:
        running = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            eventually(lambda: running.poll() is not None or _answers(port), seconds=60, what="Prism's answer")
            if running.poll() is not None:
                said.seek(0)
                raise AssertionError(said.read())
            yield f"http://127.0.0.1:{port}"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait(timeout=10)


def _answers(port: int) -> bool:
    try:
        requests.get(f"http://127.0.0.1:{port}/", timeout=2)
    except requests.RequestException:
        return False
    return True


def _installed() -> str:
    """Node, once the package is there."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Unavailable("Node and npm are missing: Prism needs Node 18.20 or later")
    lock = FOLDER / "package-lock.json"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # tests may run in several processes
        # npm writes its own lock last: one that is older than ours is of another set, or of half a set.
        done = FOLDER / "node_modules" / ".package-lock.json"
        if not done.exists() or done.stat().st_mtime < lock.stat().st_mtime:
            ended = subprocess.run([npm, *INSTALL], cwd=FOLDER, capture_output=True, text=True, check=False)
            if ended.returncode != 0:
                why = next((line for line in ended.stderr.splitlines() if "npm error" in line), "it gave no reason")
                raise Unavailable(f"npm ci failed: {why}")
    return node
