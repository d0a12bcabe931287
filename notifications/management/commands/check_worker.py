"""`manage.py check_worker`: the health check of a worker's container."""

from __future__ import annotations

import socket
import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import Error as DatabaseError

from notifications import selectors

LOOK_EVERY = 0.25  # seconds; a worker raises its beat twice a second


class Command(BaseCommand):
    help = (
        "Exit 0 as soon as a worker on this host (in this container) is seen to raise its beat, else 1. "
        "An unreachable database is a failure too: whoever restarts what is unhealthy should be patient with it."
    )
    requires_system_checks: list[str] = []  # asked every few seconds: look at the beats, at nothing else

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default=socket.gethostname(), help="default: this one")
        parser.add_argument(
            "--patience",
            type=float,
            default=4.0,
            metavar="SECONDS",
            help="how long a beat may stand still (default: 4, as long as the relay waits)",
        )

    def handle(self, *_: Any, host: str, patience: float, **__: Any) -> None:
        until = time.monotonic() + patience
        try:
            first = selectors.worker_beats(host=host)
            while time.monotonic() < until:
                time.sleep(LOOK_EVERY)
                now = selectors.worker_beats(host=host)
                # One that appears is a beat as well: it has just registered.
                if any(first.get(worker) != beat for worker, beat in now.items()):
                    return
        except DatabaseError as error:
            raise CommandError(f"The database does not answer ({type(error).__name__}).") from None
        raise CommandError(
            f"No worker beats on {host}: {len(first)} registered, none raised its beat in {patience:g} s."
        )
