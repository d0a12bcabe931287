"""What the operators' commands share: exit statuses, small tables, a progress bar where somebody watches."""

from __future__ import annotations

import getpass
import os
import sys
from argparse import ArgumentTypeError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import InterfaceError, OperationalError
from rich.console import Console
from rich.progress import Progress

from notifications import services
from notifications.models import Operation
from notifications.outbox.books import Waiting

ACTOR_LIMIT: Final = 200  # characters
DONE: Final = 0
WRONG_USE: Final = 2  # argparse's own
DATABASE_AWAY: Final = 3
INTERRUPTED: Final = 130  # as shells say it: 128 + SIGINT


YEARS: Final = 1e9  # seconds of a pause that ends when somebody says so


def due(lane: Waiting) -> str:
    """Since when something in it is due, or until when nothing is."""
    if lane.due_for is None:
        return "-"
    return f"due for {lane.due_for:.0f} s" if lane.due_for >= 0 else f"due in {-lane.due_for:.0f} s"


def kept(lane: Waiting) -> str:
    """What keeps a lane, and how long."""
    if lane.reason is None:
        return ""
    if lane.paused_for is None:
        return f"half-open ({lane.reason})"
    how_long = f"{lane.paused_for:.0f} s more" if lane.paused_for < YEARS else "until it is resumed"
    return f"{how_long} ({lane.reason})"


def moment(text: str) -> datetime:
    """An option's time → aware UTC; without an offset it is UTC. Raises: ArgumentTypeError."""
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is not an ISO 8601 time such as 2030-01-31T09:30+01:00") from None


def actor(text: str) -> str:
    """An option's name of who does it. Raises: ArgumentTypeError."""
    if not text.strip() or len(text) > ACTOR_LIMIT or not text.isprintable():
        raise ArgumentTypeError(f"must be a name of 1 to {ACTOR_LIMIT} characters")
    return text.strip()


def user() -> str:
    """Who runs this, as this machine knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return f"uid {os.getuid()}"


def audited(act: services.Noted, who: str, subject: str, *, touched: int = 1, detail: str = "") -> None:
    """Keep who did what by a command; in the transaction of the act."""
    services.note(act, actor=who, via=Operation.Via.COMMAND, subject=subject, touched=touched, detail=detail)


class OperatorsCommand(BaseCommand):
    """Ends with a sentence and an exit status where the database does not answer or somebody presses Ctrl-C."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except (OperationalError, InterfaceError) as error:
            first_line = (str(error).splitlines() or [""])[0]
            message = f"The database did not answer ({first_line}). {self.so_far()}".rstrip()
            raise CommandError(message, returncode=DATABASE_AWAY) from error
        except KeyboardInterrupt:
            raise CommandError(f"Interrupted. {self.so_far()}".rstrip(), returncode=INTERRUPTED) from None

    def so_far(self) -> str:
        """How far the command has come, as sentences for whoever stopped it."""
        return ""

    @contextmanager
    def progress(self) -> Iterator[Progress]:
        """A bar on standard error, if that is a terminal."""
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            yield progress

    def confirmed(self, question: str) -> bool:
        """Whether somebody at the terminal says yes. Raises: CommandError where nobody can be asked."""
        if not sys.stdin.isatty():
            raise CommandError(
                "Cannot ask, because standard input is not a terminal: add --yes to do it without asking, "
                "or --dry-run to only count.",
                returncode=WRONG_USE,
            )
        self.stdout.write(f"{question} [y/N] ", ending="")
        self.stdout.flush()
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Write aligned columns, numbers to the right."""
        cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        for line, values in [(list(heads), rows[0] if rows else heads), *zip(cells, rows, strict=True)]:
            aligned = [
                text.rjust(width) if isinstance(value, int) else text.ljust(width)
                for text, width, value in zip(line, widths, values, strict=True)
            ]
            self.stdout.write("  " + "  ".join(aligned).rstrip())
