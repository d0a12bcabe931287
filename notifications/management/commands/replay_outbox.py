"""`manage.py replay_outbox`: return failed (and, where asked, unknown) notifications to pending."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from time import monotonic, sleep
from typing import Any, Final
from uuid import UUID

from django.core.management.base import CommandError

from channels import masks
from channels.registry import channels
from notifications import operations, replay, services, walking
from notifications.management.aftermath import Aftermath
from notifications.management.operators import WRONG_USE, OperatorsCommand, actor, moment, user
from notifications.models import Attempt, Client, Notification, Operation
from notifications.replay import Group
from notifications.selection import Selection
from notifications.states import Status

NOTHING_REPLAYED: Final = 1
NOT_ALL_SENT: Final = 4
AT_ONCE: Final = 0.1  # seconds' worth of --rate in one batch: it is never more ahead of its time
LOOK_EVERY: Final = 1.0  # seconds, with --wait
LOOK_REST: Final = 9.0  # times as long as a look took: of many it is no burden to those who send them
TOP: Final = 10  # destinations that a dry run names
ANSWER_LIMIT: Final = 60  # characters of what a provider said


class Command(OperatorsCommand):
    help = (
        "Returns failed notifications to pending, to be sent again at once; says how many of which before it asks. "
        "Every one is noted with the actor's name. Two runs at once double nothing. Exit status: 0 done (or would be, "
        "with --dry-run), 1 nothing to replay, not confirmed, or somebody else goes on with it, 2 wrong options, "
        "3 the database did not answer, "
        "4 with --wait: not all were sent, 130 interrupted; after 3 and 130, and where it was killed, --resume goes on "
        "where it stopped."
    )
    total = 0
    operation: Operation | None = None

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
        parser.add_argument("--error-code", action="append", help="only those that failed by this; may be repeated")
        parser.add_argument("--client", action="append", help="only those of this client, by its name; may be repeated")
        parser.add_argument("--id", action="append", type=_id, help="only this notification; may be repeated")
        parser.add_argument("--dry-run", action="store_true", help="say what would be replayed, change nothing")
        parser.add_argument("--rate", type=_rate, help="at most so many per second (default: as fast as it goes)")
        parser.add_argument(
            "--resume",
            nargs="?",
            type=int,
            const=0,
            help="go on with a replay that was interrupted, the last or the one of this number: with those that were "
            "chosen then, behind the last that was done",
        )
        parser.add_argument(
            "--wait",
            nargs="?",
            type=_seconds,
            const=float("inf"),
            metavar="SECONDS",
            help="stay until all that it replayed were sent or have failed again, so long at most, and say how many "
            "of which; without SECONDS: as long as it takes",
        )
        parser.add_argument("--yes", action="store_true", help="do not ask")
        parser.add_argument(
            "--actor",
            type=actor,
            help="who is doing this (default: your name on this machine); with --resume it is kept with the replay, "
            "whose notifications stay noted with who began it",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        begin = self._chosen(options) if options["resume"] is None else self._interrupted(options)
        if options["dry_run"]:
            self.stdout.write("Dry run: nothing was changed.")
            return
        if not options["yes"] and not self.confirmed(f"Replay {self.total:,} notifications?"):
            raise CommandError("Nothing was replayed.", returncode=NOTHING_REPLAYED)
        self.operation = begin()
        aftermath = Aftermath()
        self._replay(self.operation, aftermath, rate=options["rate"] or self.operation.rate)
        if options["wait"] is not None:
            self._watch(self.operation, aftermath, options["wait"])

    def so_far(self) -> str:
        if self.operation is None:
            return "Nothing was replayed."
        self.operation.refresh_from_db()
        done = self.operation
        changed = f" {done.left_alone:,} had changed meanwhile and were left alone." if done.left_alone else ""
        ended = done.state == Operation.State.DONE
        onward = "" if ended else f" `--resume {done.pk}` goes on behind the last of them."
        return f"Replayed {done.touched:,} of {self.total:,} notifications.{changed}{onward}"

    def _chosen(self, options: dict[str, Any]) -> Callable[[], Operation]:
        """What is meant as it is now, described; to be begun."""
        chosen = _selection(options)
        selection = chosen.frozen(datetime.now(UTC))
        groups = replay.plan(selection)
        self.total = sum(group.count - group.redacted - group.expired - group.suppressed for group in groups)
        self._describe(chosen, groups)
        if not self.total:
            raise CommandError("Nothing to replay.", returncode=NOTHING_REPLAYED)
        if options["dry_run"]:
            self._describe_more(selection)
        return partial(
            services.ask,
            "resend",
            selection,
            actor=options["actor"] or user(),
            via=Operation.Via.COMMAND,
            chosen=self.total,
            subject=_in_words(options),
            rate=options["rate"],
        )

    def _interrupted(self, options: dict[str, Any]) -> Callable[[], Operation]:
        """One that has not come to its end, described; to be gone on with."""
        narrowing = ("status", "channel", "error_code", "client", "since", "until", "id")
        if others := [f"--{name.replace('_', '-')}" for name in narrowing if options[name]]:
            message = f"--resume goes on with what was chosen then: leave out {', '.join(others)}."
            raise CommandError(message, returncode=WRONG_USE)
        rows = Operation.objects.filter(via=Operation.Via.COMMAND, act="resend", state__in=["asked", "running"])
        found = (rows.filter(pk=options["resume"]) if options["resume"] else rows).order_by("-id").first()
        if found is None:
            which = f"no. {options['resume']}" if options["resume"] else "no replay"
            raise CommandError(f"There is {which} to go on with.", returncode=NOTHING_REPLAYED)
        self.total = found.chosen or 0
        self.stdout.write(
            f"Replay {found.pk} by {found.actor} ({found.subject}) was interrupted after "
            f"{found.touched:,} of {self.total:,}."
        )
        return partial(services.go_on_with, found, actor=options["actor"] or user())

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
        if redacted := sum(group.redacted for group in groups):
            self.stdout.write(f"{redacted:,} have been redacted and are left alone.")
        if expired := sum(group.expired for group in groups):
            self.stdout.write(f"{expired:,} have expired and are left alone.")
        if suppressed := sum(group.suppressed for group in groups):
            self.stdout.write(f"{suppressed:,} have a suppressed recipient and are left alone.")
        if doubtful := sum(group.doubtful for group in groups):
            names = ", ".join(sorted({group.channel for group in groups if group.doubtful}))
            warning = f"{doubtful:,} may have been sent already ({names}): their recipients may get them twice."
            self.stdout.write(self.style.WARNING(warning))

    def _describe_more(self, selection: Selection) -> None:
        found = replay.destinations(selection)
        rows = [[name, count] for name, count in found[:TOP]]
        if others := sum(count for _, count in found[TOP:]):
            rows.append([f"{len(found) - TOP:,} others", others])
        self.table(["to", "count"], rows)
        self.stdout.write("The newest of them:")
        rows = [
            [
                *(str(row.id), f"{row.created_at:%Y-%m-%d %H:%M:%S}", row.channel),
                *(masks.recipient(row.recipient), row.error_code or "-", self._answer(row)),
            ]
            for row in replay.sample(selection)
        ]
        self.table(["id", "accepted (UTC)", "channel", "to", "error code", "answer"], rows)

    def _answer(self, row: Notification) -> str:
        last = Attempt.objects.filter(notification=row).order_by("-number").values_list("detail", flat=True).first()
        return (last or "-")[:ANSWER_LIMIT]

    def _replay(self, operation: Operation, aftermath: Aftermath, *, rate: float | None) -> None:
        began, before = monotonic(), operation.touched + operation.left_alone
        size = None if rate is None else max(1, int(rate * AT_ONCE))
        passed = before
        with self.progress() as progress:
            bar = progress.add_task("replaying", total=self.total, completed=before)
            while (batch := operations.step(operation.pk, size=size)) is not None:
                aftermath.add(batch.touched)
                operation.refresh_from_db()
                passed = operation.touched + operation.left_alone
                progress.update(bar, completed=passed)
                if operation.state == Operation.State.DONE:
                    break
                if rate is not None:
                    sleep(max(0.0, began + (passed - before) / rate - monotonic()))
        operation.refresh_from_db()
        if operation.state != Operation.State.DONE:
            message = f"Somebody else goes on with replay {operation.pk}, or has stopped it. {self.so_far()}"
            raise CommandError(message, returncode=NOTHING_REPLAYED)
        seconds = monotonic() - began
        self.stdout.write(self.so_far())
        self.stdout.write(
            f"It took {seconds:.1f} s, {(passed - before) / max(seconds, 0.001):,.0f} a second. "
            f"Its number in the admin's operations is {operation.pk}."
        )

    def _watch(self, operation: Operation, aftermath: Aftermath, seconds: float) -> None:
        """What becomes of those that this run has replayed. Raises: CommandError, where not all were sent."""
        until, all_ = monotonic() + seconds, aftermath.waiting
        # What was replayed before an interruption, or by somebody else meanwhile, is not known here.
        which = "these" if all_ == operation.touched else f"the {all_:,} that were replayed by this run"
        with self.progress() as progress:
            bar = progress.add_task("sending", total=all_)
            while aftermath.waiting:
                began = monotonic()
                aftermath.look()
                ended = monotonic()
                progress.update(bar, completed=all_ - aftermath.waiting)
                if not aftermath.waiting or ended >= until:
                    break
                sleep(min(max(LOOK_EVERY, LOOK_REST * (ended - began)), max(0.0, until - ended)))
        if not aftermath.well:
            raise CommandError(f"Of {which}: {aftermath.in_words()}.", returncode=NOT_ALL_SENT)
        self.stdout.write(f"Of {which}: {aftermath.in_words()}.")


def _in_words(options: dict[str, Any]) -> str:
    """For the audit: the options, as they were given."""
    given = []
    for name in ("status", "channel", "error_code", "client", "since", "until"):
        value = options[name]
        for each in value if isinstance(value, list) else [value] if value else []:
            given.append(f"--{name.replace('_', '-')} {each}")
    if options["id"]:
        given.append(f"{len(options['id'])} by --id")
    return " ".join(given) or "all that failed"


def _selection(options: dict[str, Any]) -> Selection:
    chosen = Selection(
        statuses=frozenset(Status(status) for status in options["status"] or [Status.FAILED]),
        channels=frozenset(options["channel"] or []),
        error_codes=frozenset(options["error_code"] or []),
        clients=frozenset(_client(name) for name in options["client"] or []),
        since=options["since"],
        until=options["until"],
        ids=frozenset(options["id"] or []),
    )
    known = {*channels(), *walking.channels_in_need()}
    if unknown := chosen.channels - known:
        message = f"--channel: there is no {', '.join(sorted(unknown))}; choose from {', '.join(sorted(known))}."
        raise CommandError(message, returncode=WRONG_USE)
    if chosen.since and chosen.until and chosen.since >= chosen.until:
        raise CommandError("--since must be earlier than --until.", returncode=WRONG_USE)
    return chosen


def _client(name: str) -> int:
    found = Client.objects.filter(name=name).values_list("id", flat=True).first()
    if found is None:
        raise CommandError(f"--client: there is no client {name!r}.", returncode=WRONG_USE)
    return found


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


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not 0 <= seconds <= 1_000_000:
        raise ArgumentTypeError("must be from 0 to 1,000,000 seconds")
    return seconds
