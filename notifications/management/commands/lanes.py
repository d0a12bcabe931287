"""`manage.py lanes`: which lanes wait and what keeps them; pause one, or all of a channel, and resume it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError
from django.db import transaction

from channels.registry import channel_for
from notifications import services
from notifications.intake import Refused
from notifications.management.operators import WRONG_USE, OperatorsCommand, actor, audited, due, kept, moment, user
from notifications.outbox import books

NOTHING_RESUMED: Final = 1


class Command(OperatorsCommand):
    help = (
        "Lists the lanes that hold something pending or are closed, longest due first. With --pause, nothing of a lane "
        "is sent, or of a channel by its name, whatever its provider answers, until --until or until --resume; what "
        "waits in it stays pending. Exit status: 0 done, 1 nothing to resume, 2 wrong options, 3 the database did not "
        "answer."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--pause", metavar="LANE", help="a lane such as slack:ops, or a channel for all of its lanes")
        what.add_argument("--resume", metavar="LANE", help="by the name that was paused; ends a provider's pause, too")
        parser.add_argument("--reason", help="with --pause: why; clients see it")
        parser.add_argument(
            "--until",
            type=moment,
            help="with --pause: an ISO 8601 time, without an offset UTC (default: until --resume)",
        )
        parser.add_argument("--actor", type=actor, help="who is doing this (default: your name on this machine)")

    def handle(self, *args: Any, **options: Any) -> None:
        who = options["actor"] or user()
        if options["pause"] is None and (options["reason"] is not None or options["until"] is not None):
            raise CommandError("--reason and --until go with --pause.", returncode=WRONG_USE)
        if options["pause"] is not None:
            self._pause(options["pause"], who, options)
        elif options["resume"] is not None:
            self._resume(options["resume"], who)
        else:
            self._list()

    def _pause(self, lane: str, who: str, options: dict[str, Any]) -> None:
        if options["reason"] is None:
            raise CommandError("--pause needs a --reason.", returncode=WRONG_USE)
        until = options["until"]
        how_long = f"until {until:%Y-%m-%d %H:%M:%S} UTC" if until else "until it is resumed"
        try:
            with transaction.atomic():
                services.pause_lane(lane, actor=who, reason=options["reason"], until=until)
                audited(services.Noted.PAUSE, who, lane, detail=f"{how_long}: {options['reason'].strip()}")
        except Refused as refused:
            said = {"lane": "--pause", "reason": "--reason", "until": "--until"}
            wrong = "; ".join(f"{said[problem.field]} {problem.detail}" for problem in refused.problems)
            raise CommandError(f"{wrong}.", returncode=WRONG_USE) from None
        self.stdout.write(f"{lane} is paused {how_long}.")

    def _resume(self, lane: str, who: str) -> None:
        with transaction.atomic():
            if not services.resume_lane(lane, actor=who):
                raise CommandError(f"{lane} is not paused.", returncode=NOTHING_RESUMED)
            audited(services.Noted.RESUME, who, lane)
        self.stdout.write(f"{lane} is resumed.")

    def _list(self) -> None:
        lanes = books.waiting()
        if not lanes:
            self.stdout.write("Nothing waits, and every lane is open.")
            return
        self.table(
            ["lane", "pending", "oldest", "rate", "paused"],
            [[lane.lane, lane.pending, due(lane), _rate(lane.lane), kept(lane)] for lane in lanes],
        )


def _rate(lane: str) -> str:
    known = channel_for(lane)
    return str(known.rate) if known is not None and known.rate is not None else "-"
