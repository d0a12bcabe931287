"""`manage.py replay_outbox`: return failed (and, where asked, unknown) notifications to pending."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any, Final
from uuid import UUID

from django.core.management.base import CommandError

from channels.registry import channels
from notifications import replay, services
from notifications.management.operators import WRONG_USE, OperatorsCommand, actor, moment, user
from notifications.replay import Group
from notifications.selection import Selection
from notifications.states import Status

NOTHING_REPLAYED: Final = 1


class Command(OperatorsCommand):
    help = (
        "Returns failed notifications to pending, to be sent again at once; says how many of which before it asks. "
        "Every one is noted with the actor's name. Two runs at once double nothing. Exit status: 0 done (or would be, "
        "with --dry-run), 1 nothing to replay or not confirmed, 2 wrong options, 3 the database did not answer, "
        "130 interrupted; after the last two, running it again goes on where it stopped."
    )
    replayed = passed = total = 0

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--status",
            action="append",
            choices=sorted(replay.REPLAYABLE),
            help="failed (the default) or unknown; may be repeated. Unknown ones may have been sent",
        )
        parser.add_argument("--channel", action="append", help="only this channel; may be repeated")
        parser.add_argument("--since", type=moment, help="only those accepted at or after this ISO 8601 time")
        parser.add_argument(
            "--until", type=moment, help="only those accepted before this ISO 8601 time; without an offset it is UTC"
        )
        parser.add_argument("--id", action="append", type=_id, help="only this notification; may be repeated")
        parser.add_argument("--dry-run", action="store_true", help="say what would be replayed, change nothing")
        parser.add_argument("--rate", type=_rate, help="at most so many per second (default: as fast as it goes)")
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument("--actor", type=actor, help="who is doing this (default: your name on this machine)")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = _selection(options)
        selection = chosen.frozen(datetime.now(UTC))
        groups = replay.plan(selection)
        self.total = sum(group.count - group.expired - group.suppressed for group in groups)
        self._describe(chosen, groups)
        if not self.total:
            raise CommandError("Nothing to replay.", returncode=NOTHING_REPLAYED)
        if options["dry_run"]:
            self.stdout.write("Dry run: nothing was changed.")
            return
        if not options["yes"]:
            self._ask()
        self._replay(selection, rate=options["rate"], actor=options["actor"] or user())

    def so_far(self) -> str:
        if not self.passed:
            return "Nothing was replayed."
        changed = self.passed - self.replayed
        meanwhile = f" {changed:,} had changed meanwhile and were left alone." if changed else ""
        return f"Replayed {self.replayed:,} of {self.total:,} notifications.{meanwhile}"

    def _describe(self, chosen: Selection, groups: Sequence[Group]) -> None:
        since = f" since {chosen.since:%Y-%m-%d %H:%M:%S} UTC" if chosen.since else ""
        until = f" until {chosen.until:%Y-%m-%d %H:%M:%S} UTC" if chosen.until else ""
        if since or until:
            self.stdout.write(f"Accepted{since}{until}:")
        if groups:
            heads = ["channel", "status", "error code", "count", "expired", "suppressed"]
            rows = [[g.channel, g.status.value, g.error_code or "-", g.count, g.expired, g.suppressed] for g in groups]
            self.table(heads, rows)
        if chosen.ids and (others := len(chosen.ids) - sum(group.count for group in groups)):
            self.stdout.write(f"{others:,} of the {len(chosen.ids):,} ids given do not match and are left alone.")
        if expired := sum(group.expired for group in groups):
            self.stdout.write(f"{expired:,} have expired and are left alone.")
        if suppressed := sum(group.suppressed for group in groups):
            self.stdout.write(f"{suppressed:,} have a suppressed recipient and are left alone.")
        if doubtful := sum(group.doubtful for group in groups):
            names = ", ".join(sorted({group.channel for group in groups if group.doubtful}))
            warning = f"{doubtful:,} may have been sent already ({names}): their recipients may get them twice."
            self.stdout.write(self.style.WARNING(warning))

    def _ask(self) -> None:
        if not sys.stdin.isatty():
            raise CommandError(
                "Cannot ask, because standard input is not a terminal: add --yes to replay without asking, "
                "or --dry-run to only count.",
                returncode=WRONG_USE,
            )
        self.stdout.write(f"Replay {self.total:,} notifications? [y/N] ", ending="")
        self.stdout.flush()
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            raise CommandError("Nothing was replayed.", returncode=NOTHING_REPLAYED)

    def _replay(self, selection: Selection, *, rate: float | None, actor: str) -> None:
        began = monotonic()
        size = replay.BATCH if rate is None else max(1, min(replay.BATCH, int(rate)))
        with self.progress() as progress:
            bar = progress.add_task("replaying", total=self.total)
            for ids in replay.batches(selection, size):
                if rate is not None:
                    sleep(max(0.0, began + self.passed / rate - monotonic()))
                self.replayed += len(services.resend(ids, actor=actor, detail="manage.py replay_outbox"))
                self.passed += len(ids)
                progress.update(bar, completed=self.passed)
        self.stdout.write(self.so_far())


def _selection(options: dict[str, Any]) -> Selection:
    chosen = Selection(
        statuses=frozenset(Status(status) for status in options["status"] or [Status.FAILED]),
        channels=frozenset(options["channel"] or []),
        since=options["since"],
        until=options["until"],
        ids=frozenset(options["id"] or []),
    )
    known = {*channels(), *replay.channels_in_need()}
    if unknown := chosen.channels - known:
        message = f"--channel: there is no {', '.join(sorted(unknown))}; choose from {', '.join(sorted(known))}."
        raise CommandError(message, returncode=WRONG_USE)
    if chosen.since and chosen.until and chosen.since >= chosen.until:
        raise CommandError("--since must be earlier than --until.", returncode=WRONG_USE)
    return chosen


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a notification's id") from None


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0.01 <= rate <= 1_000_000:
        raise ArgumentTypeError("must be from 0.01 to 1,000,000 per second")
    return rate
