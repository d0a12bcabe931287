"""`manage.py check_outbox`: what is in the outbox, whether the books balance, and whether anything waits too long."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections import Counter
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

from django.core.management.base import CommandError
from django.core.serializers.json import DjangoJSONEncoder

from notifications.management.operators import OperatorsCommand, due, kept
from notifications.outbox import books
from notifications.outbox.recover import policies
from notifications.outbox.repair import Repaired, repair

OUT_OF_BALANCE: Final = 1
LATE: Final = 4
LANES_SHOWN: Final = 20
LONGEST: Final = timedelta(days=1).total_seconds()


class Command(OperatorsCommand):
    help = (
        "Prints the counts by state, the lanes that wait and what was purged, and verifies the books, all at one "
        "instant. Exit status, for timers and alerts: 0 they balance, 1 they don't, 2 wrong options, 3 the database "
        "did not answer, 4 they balance and something has been due for longer than --late. "
        "Reads whole tables; changes nothing without --repair, so it may run on a replica."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object instead, for scripts")
        parser.add_argument(
            "--watch",
            type=_seconds,
            default=books.RECOVERY.total_seconds(),
            metavar="SECONDS",
            help="how long a worker that holds claims may show no sign of life before they count as abandoned; "
            "at least 1 (default: %(default)g, because the claims of a dead worker are taken back within 5)",
        )
        parser.add_argument(
            "--late",
            type=_seconds,
            metavar="SECONDS",
            help="exit with 4 where something in a lane that is not paused fell due longer ago: are workers running?",
        )
        parser.add_argument(
            "--repair",
            action="store_true",
            help="do what a worker would do, were one running: take back the claims of dead ones, by each channel's "
            "policy, and apply receipts that are stored; put what is in no list there, and forget pauses of lanes that "
            "hold nothing any more. What else breaks a rule is left as it is. The exit status is that of a second look",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        # Others are declared dead after four seconds; whoever buries them must not be quicker.
        watch = max(options["watch"], books.RECOVERY.total_seconds() if options["repair"] else 0)
        found = books.audit(watch=timedelta(seconds=watch))
        repaired = None
        if options["repair"]:
            repaired = repair(found.dead, policies())
            found = books.audit(watch=timedelta(seconds=watch))
        late = found.late(timedelta(seconds=options["late"])) if options["late"] else []
        if options["json"]:
            self._write_json(found, late, repaired)
        else:
            self._write_table(found, repaired)
        if found.violations:
            raise CommandError("The books do not balance.", returncode=OUT_OF_BALANCE)
        if late:
            names = ", ".join(lane.lane for lane in late[:3])
            raise CommandError(f"Something has been due for over {options['late']:g} s: {names}.", returncode=LATE)

    def _write_json(self, found: books.Books, late: list[books.Waiting], repaired: Repaired | None) -> None:
        report: dict[str, object] = {
            "balanced": not found.violations,
            "counts": {status.value: count for status, count in found.counts.items()},
            "violations": [asdict(violation) for violation in found.violations],
            "lanes": [asdict(lane) for lane in found.lanes],
            "late": [lane.lane for lane in late],
            "purged": asdict(found.purged),
            "accepted": found.accepted,
        }
        if repaired is not None:
            report["repaired"] = {
                "claims": [{"id": str(claim.id), "status": claim.status.value} for claim in repaired.claims],
                "receipts": repaired.receipts,
                "pauses": repaired.pauses,
                "listed": repaired.listed,
            }
        self.stdout.write(json.dumps(report, cls=DjangoJSONEncoder))

    def _write_table(self, found: books.Books, repaired: Repaired | None) -> None:
        self.table(["status", "notifications"], [[status.value, count] for status, count in found.counts.items()])
        if found.lanes:
            self.stdout.write("")
            rows = [[lane.lane, lane.pending, due(lane), kept(lane)] for lane in found.lanes[:LANES_SHOWN]]
            self.table(["lane", "pending", "oldest", "paused"], rows)
            if len(found.lanes) > LANES_SHOWN:
                self.stdout.write(f"  … and {len(found.lanes) - LANES_SHOWN:,} more lanes")
        purged = found.purged
        if purged.last_at is not None:
            self.stdout.write(
                f"\n{found.accepted:,} were accepted in all. Purged until {purged.last_at:%Y-%m-%d %H:%M} UTC: "
                f"{purged.notifications:,} notifications, {purged.attempts:,} attempts, {purged.records:,} keys."
            )
        if repaired is not None:
            self.stdout.write(f"\n{_done(repaired)}")
        self._write_verdict(found)

    def _write_verdict(self, found: books.Books) -> None:
        for violation in found.violations:
            self.stdout.write(self.style.ERROR(f"\n{violation.kind}: {violation.count:,}"))
            self.stdout.write(f"  {violation.meaning}")
            for example in violation.examples:
                self.stdout.write(f"    {example}")
            if violation.count > len(violation.examples):
                self.stdout.write(f"    … and {violation.count - len(violation.examples):,} more")
        if not found.violations:
            self.stdout.write(self.style.SUCCESS("\nThe books balance."))


def _done(repaired: Repaired) -> str:
    became = Counter(claim.status.value for claim in repaired.claims)
    claims = ", ".join(f"{count:,} {status}" for status, count in sorted(became.items()))
    parts = [
        f"{len(repaired.claims):,} claims of dead workers taken back ({claims})" if claims else "",
        f"{repaired.receipts:,} notifications settled by their receipts" if repaired.receipts else "",
        f"{repaired.pauses:,} pauses forgotten" if repaired.pauses else "",
        f"{repaired.listed:,} notifications put on their clients' lists" if repaired.listed else "",
    ]
    return f"Repaired: {'; '.join(filter(None, parts)) or 'there was nothing that could be'}."


def _seconds(text: str) -> float:
    least = books.SHORTEST_WATCH.total_seconds()
    try:
        seconds = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not least <= seconds <= LONGEST:
        raise ArgumentTypeError(f"must be from {least:g} to {LONGEST:g} seconds")
    return seconds
