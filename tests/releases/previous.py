"""The release before: the code as it was before the migrations changed for the last time."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from tests.processes import ROOT

MIGRATIONS: Final = "notifications/migrations"
SERVICE: Final = ("manage.py", "notifier", "notifications", "channels")


class NoHistory(Exception):
    """Raised where git does not tell what the code was before: an exported source, a clone of the last commit alone."""


@dataclass(frozen=True, slots=True)
class Release:
    root: Path
    commit: str

    def migrations(self) -> list[str]:
        return sorted(file.stem for file in (self.root / MIGRATIONS).glob("[0-9]*.py"))


def previous(folder: Path, source: Path = ROOT) -> Release:
    """The one before `source`'s, written into `folder`; it runs with the packages of today.

    Raises: NoHistory.
    """
    last_change = _git(source, "log", "--first-parent", "-1", "--format=%H", "--", MIGRATIONS)
    if not last_change:
        raise NoHistory(f"no commit of {MIGRATIONS} is known here")
    commit = _git(source, "rev-parse", "--verify", "--quiet", f"{last_change}^1")
    archive = folder / "previous.zip"
    _git(source, "archive", "--output", str(archive), commit, *SERVICE)
    root = folder / "previous"
    with ZipFile(archive) as files:
        files.extractall(root)
    return Release(root, commit)


def _git(source: Path, *arguments: str) -> str:
    # The checkout may be another user's: only what this very command reads is trusted.
    command = ["git", "-c", "safe.directory=*", *arguments]
    try:
        done = subprocess.run(command, cwd=source, capture_output=True, text=True, timeout=60, check=False)
    except FileNotFoundError:
        raise NoHistory("there is no git here") from None
    if done.returncode != 0:
        said = done.stderr.strip().partition("\n")[0] or "its parent is not there"
        raise NoHistory(f"git {arguments[0]}: {said}")
    return done.stdout.strip()
