"""One trace from a client's request to its provider's answer, for whoever has a collector; for all others nothing.

OpenTelemetry is imported by `start` alone, where the settings ask for traces and the packages are there
(requirements/tracing.txt). Everywhere else `live()` says None, and whoever asks does what it did before.
"""

from __future__ import annotations

import threading
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Final

import structlog
from django.conf import settings

if TYPE_CHECKING:
    from notifications.tracing.telemetry import Telemetry

LAST: Final = 100  # the rank of our end among those of the process; any will do

log = structlog.get_logger(__name__)
_starting = threading.Lock()
_live: Telemetry | None = None


def live() -> Telemetry | None:
    """Where spans begin, in a process that traces."""
    return _live


def start(role: str) -> None:
    """Trace from here on, if that is wanted; once for each process, and after its fork. `role`: web or worker."""
    global _live
    if not getattr(settings, "TRACES", False):
        return
    with _starting:
        if _live is not None:
            return
        try:
            from notifications.tracing.telemetry import Telemetry
        except ImportError as error:
            # Said and no more: what is asked of the service can be done without.
            log.warning("tracing.not_installed", reason=str(error), needed="requirements/tracing.txt")
            return
        _live = Telemetry(role, getattr(settings, "TRACES_SERVICE", "notifier"))
        # A child of multiprocessing ends without `atexit`, and the web server's are such; this is called in both.
        Finalize(None, stop, exitpriority=LAST)
    log.info("tracing.started")


def stop() -> None:
    """Send on what has ended, within seconds."""
    global _live
    with _starting:
        ending, _live = _live, None
    if ending is not None:
        ending.end()
