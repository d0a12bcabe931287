"""The folder in which the processes of one service add up their metrics.

prometheus_client decides at its import, by PROMETHEUS_MULTIPROC_DIR, whether a process writes what it counts into
files; so the settings, which come before every other import of ours, see to that.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"


def choose(given: str, data_dir: Path, database_url: str) -> Path:
    """METRICS_DIR; else one that all processes of this service on this machine come to by themselves, and no others."""
    if given:
        return Path(given).expanduser().absolute()
    if not database_url:
        return data_dir / "metrics"
    which = hashlib.sha256(database_url.encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"notifier-metrics-{os.getuid()}-{which}"


def prepare(folder: Path) -> str:
    """Make it, for us alone, and tell prometheus_client; a sentence where it cannot be used, and then each process
    counts for itself.
    """
    os.environ.pop(_VARIABLE, None)
    if "prometheus_client.values" in sys.modules and not _counts_in_files():
        return "prometheus_client was imported before the settings were read."
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        return f"{folder} cannot be made ({error.strerror})."
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is no folder."
    # In a temporary folder anybody may have been there first.
    if found.st_mode & stat.S_IWOTH or found.st_uid not in {os.geteuid(), 0}:
        return f"{folder} is another user's, or open to all."
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{folder} cannot be written to."
    os.environ[_VARIABLE] = str(folder)
    return ""


def empty(folder: Path) -> None:
    """Forget the processes of an earlier run; to be called while none of this one's counts."""
    for kind in ("counter", "histogram"):
        for each in folder.glob(f"{kind}_*.db"):
            with suppress(OSError):
                each.unlink()


def _counts_in_files() -> bool:
    from prometheus_client import values

    return values.ValueClass is not values.MutexValue
