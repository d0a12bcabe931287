"""The container engine at hand: `docker`, and compose as a part of it or as the program of its own that it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

# What the engine's programs need; nothing else of the developer's reaches compose, which prefers it to any file.
_PASSED_ON: Final = ("PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR", "DOCKER_")
BUILDING: Final = 1200.0  # seconds: packages are fetched the first time


class NoEngineError(Exception):
    """Raised where there is none; says why."""


@dataclass(frozen=True)
class Engine:
    compose: Sequence[str]  # the command

    def docker(self, *arguments: str, seconds: float = 60) -> str:
        """What it prints to its standard output. Raises: AssertionError where it fails."""
        return run(["docker", *arguments], seconds=seconds)

    def inspect(self, *ids: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.docker("inspect", *ids)) if ids else []
        return found

    def files(self, image: str) -> dict[str, str]:
        """The type (f, d, l) of every path of an image."""
        options = ("--rm", "--network=none", "--user=0", "--entrypoint=find")
        lines = self.docker("run", *options, image, "/", "-xdev", "-printf", r"%y %p\n").splitlines()
        return {path: kind for kind, _, path in (line.partition(" ") for line in lines)}

    def kill_process(self, pid: int, image: str) -> None:
        """Kill a process of the engine's machine, whichever that is: `docker kill` would be a person's act, after which
        the engine starts nothing again. `image`: any with a Python."""
        options = ("--rm", "--network=none", "--user=0", "--pid=host", "--entrypoint=python3")
        self.docker("run", *options, image, "-c", f"import os; os.kill({pid}, 9)")


def find_engine() -> Engine:
    """Raises: NoEngineError."""
    if shutil.which("docker") is None:
        raise NoEngineError("there is no `docker` command here")
    try:
        run(["docker", "info"], seconds=30)
    except (AssertionError, subprocess.TimeoutExpired) as error:
        last = str(error).strip().splitlines()[-1]
        raise NoEngineError(f"no container engine answers `docker info`: {last}") from None
    # As the Makefile does: the first version keeps to the limits of a container only where it is told.
    for compose in (["docker", "compose"], ["docker-compose", "--compatibility"]):
        if shutil.which(compose[0]) and subprocess.run([*compose, "version"], capture_output=True).returncode == 0:
            return Engine(compose)
    raise NoEngineError("there is neither `docker compose` nor `docker-compose` here")


def run(command: Sequence[str], *, seconds: float, folder: Path | None = None) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=_environment(os.environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
    )
    assert done.returncode == 0, (
        f"{' '.join(command)}: exit {done.returncode}\n{done.stdout[-5000:]}{done.stderr[-5000:]}"
    )
    return done.stdout


def _environment(whole: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in whole.items() if name.startswith(_PASSED_ON)}
