"""`manage.py suppress`: the list of recipients to whom nothing is sent."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError
from django.db import transaction

from channels import masks
from channels.registry import open_channels
from notifications import services
from notifications.management.operators import WRONG_USE, OperatorsCommand, actor, audited, user
from notifications.models import Suppression
from notifications.states import Reason

NOTHING_CHANGED: Final = 1
SHOWN: Final = 100  # rows, where no --limit says otherwise
MOST_SHOWN: Final = 10_000


class Command(OperatorsCommand):
    help = (
        "Puts a recipient on the suppression list, so that nothing more is sent to it over the channel, or takes it "
        "from there (--remove); without --recipient, shows the list, newest first. Exit status: 0 done, 1 it was so "
        "already, 2 wrong options, 3 the database did not answer."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--channel", help=f"one of {', '.join(open_channels())}; to show the list, only this one")
        parser.add_argument("--recipient", help="an address, a number, the name of a webhook: as requests have it")
        parser.add_argument("--reason", choices=[each.value for each in Reason], default=Reason.MANUAL.value)
        parser.add_argument("--detail", default="", help="a line to remember it by")
        parser.add_argument("--test", action="store_true", help="for what test keys ask for, and nothing live")
        parser.add_argument("--remove", action="store_true", help="take it from the list")
        parser.add_argument("--limit", type=int, default=SHOWN, help=f"show so many ({SHOWN}), {MOST_SHOWN:,} at most")
        parser.add_argument("--actor", type=actor, help="who is doing this (default: your name on this machine)")

    def handle(self, *args: Any, **options: Any) -> None:
        channel, to, test = options["channel"], options["recipient"], options["test"]
        by = options["actor"] or user()
        if to is None:
            if options["remove"]:
                raise CommandError("--remove needs --channel and --recipient.", returncode=WRONG_USE)
            self._show(channel, test=test, limit=options["limit"])
        elif channel is None:
            raise CommandError("--recipient needs --channel.", returncode=WRONG_USE)
        elif options["remove"]:
            with transaction.atomic():
                if not services.unsuppress(channel, to, actor=by, test=test):
                    raise CommandError("It is not on the list.", returncode=NOTHING_CHANGED)
                audited(services.Noted.ALLOW, by, masks.on_channel(channel, to, test=test))
            self.stdout.write("Taken from the list: it can be sent to again.")
        else:
            self._suppress(channel, to, options, by)

    def _suppress(self, channel: str, to: str, options: dict[str, Any], by: str) -> None:
        reason, test = Reason(options["reason"]), options["test"]
        try:
            with transaction.atomic():
                new = services.suppress(channel, to, reason=reason, detail=options["detail"], actor=by, test=test)
                if new:
                    audited(services.Noted.SUPPRESS, by, masks.on_channel(channel, to, test=test), detail=reason.value)
        except services.Refused as error:
            said = {"to": "--recipient", "channel": "--channel"}
            problem = error.problems[0]
            message = f"{said.get(problem.field, problem.field)}: {problem.detail}."
            raise CommandError(message, returncode=WRONG_USE) from None
        except services.NoSandbox as error:
            raise CommandError(f"{error}.", returncode=WRONG_USE) from None
        if not new:
            raise CommandError("It is on the list already.", returncode=NOTHING_CHANGED)
        self.stdout.write("Suppressed: nothing more is sent to it. What is pending for it fails when it is due.")

    def _show(self, channel: str | None, *, test: bool, limit: int) -> None:
        if not 1 <= limit <= MOST_SHOWN:
            raise CommandError(f"--limit must be from 1 to {MOST_SHOWN:,}.", returncode=WRONG_USE)
        found = Suppression.objects.filter(test=True) if test else Suppression.objects.all()
        if channel:
            found = found.filter(channel=channel)
        rows = list(found.order_by("-id")[: limit + 1])
        if rows:
            self.table(
                ["channel", "recipient", "test", "reason", "code", "by", "since (UTC)"],
                [
                    [
                        *(row.channel, row.recipient, "test" if row.test else "-", row.reason, row.source or "-"),
                        *(row.created_by, f"{row.created_at:%Y-%m-%d %H:%M:%S}"),
                    ]
                    for row in rows[:limit]
                ],
            )
        if not rows:
            self.stdout.write("Nobody is suppressed.")
        elif len(rows) > limit:
            self.stdout.write(f"These are the newest {limit:,}; there are more.")
