"""How the web server and a worker are run on this machine."""

from __future__ import annotations

import sys

# Enough to have several commits under way at once, which Postgres writes down together; each keeps a connection.
_WEB_THREADS = 8
WEB_GRACE = 10  # seconds; the slowest request waits for a lock and a commit
WORKER_GRACE = 30  # seconds; a worker finishes the send it is in, and every channel's timeout is shorter


def web_command(host: str, port: int, processes: int) -> tuple[str, ...]:
    return (
        *(sys.executable, "-m", "granian", "--interface", "wsgi"),
        *("--host", host, "--port", str(port)),
        *("--workers", str(processes), "--blocking-threads", str(_WEB_THREADS)),
        # A thread that ends takes its database connection along: let none end for a moment's silence.
        *("--blocking-threads-idle-timeout", "600"),
        *("--respawn-failed-workers", "--workers-kill-timeout", str(WEB_GRACE - 2)),
        *("--no-ws", "--log-level", "error"),
        "notifier.wsgi:application",
    )


def worker_command(threads: int) -> tuple[str, ...]:
    """One process: Dramatiq's own stops all its processes when one dies, and those that live on are to take back the
    dead one's claims.
    """
    return (
        *(sys.executable, "-m", "dramatiq", "notifier.worker"),
        *("--processes", "1", "--threads", str(threads)),
        *("--worker-shutdown-timeout", str((WORKER_GRACE - 5) * 1000), "--skip-logging"),
    )
