"""Secrets made once, at the first start, and kept under DATA_DIR for every later one."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path


class UnusableFolder(RuntimeError):
    """Raised when DATA_DIR cannot keep a secret: it is of another user, read-only or not a folder."""


def secret_key(data_dir: Path) -> str:
    """Django's SECRET_KEY of this installation.

    Raises: UnusableFolder.
    """
    return remembered(data_dir, "secret_key", lambda: secrets.token_urlsafe(50))


def admin_password(data_dir: Path) -> str:
    """The password of the user `admin`, as it was at the first start.

    Raises: UnusableFolder.
    """
    return remembered(data_dir, "admin_password", lambda: secrets.token_urlsafe(18))


def path(data_dir: Path, name: str) -> Path:
    """Where a secret is kept."""
    return data_dir / "secrets" / name


def remembered(data_dir: Path, name: str, make: Callable[[], str]) -> str:
    """The text kept under `name`; the first caller's `make()`, also where several processes call at once.

    Raises: UnusableFolder.
    """
    kept = path(data_dir, name)
    try:
        _private_folder(kept.parent)
        if not kept.exists():
            _keep_first(kept, make())
        return kept.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UnusableFolder(
            f"{kept} cannot be used ({error.strerror}): give DATA_DIR a folder that this user may write."
        ) from error


def _private_folder(folder: Path) -> None:
    # Where we are root Postgres runs as another user, who has to pass through DATA_DIR: so the secrets have a
    # closed folder of their own, and DATA_DIR lets others pass but not look.
    if not folder.parent.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.parent.chmod(0o711)
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def _keep_first(kept: Path, text: str) -> None:
    # A link appears whole and never replaces: of two processes one wins, and both read its text.
    descriptor, name = tempfile.mkstemp(dir=kept.parent, prefix=f".{kept.name}-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, kept)
    finally:
        Path(name).unlink()
