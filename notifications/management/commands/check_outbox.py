"""`manage.py check_outbox`: how many notifications are in which state, and whether the books balance."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any, Final

from django.core.management.base import CommandError

from notifications.management.operators import OperatorsCommand
from notifications.outbox import books

OUT_OF_BALANCE: Final = 1


class Command(OperatorsCommand):
    help = (
        "Prints the counts by state and verifies the books, all at one instant. "
        "Exit status: 0 they balance, 1 they don't, 2 wrong options, 3 the database did not answer. "
        "Reads whole tables; changes nothing, so it may run on a replica."
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

    def handle(self, *args: Any, **options: Any) -> None:
        found = books.audit(watch=timedelta(seconds=options["watch"]))
        if options["json"]:
            self._write_json(found)
        else:
            self._write_table(found)
        if found.violations:
            raise CommandError("The books do not balance.", returncode=OUT_OF_BALANCE)

    def _write_json(self, found: books.Books) -> None:
        violations = [
            {"kind": each.kind, "count": each.count, "examples": each.examples, "meaning": each.meaning}
            for each in found.violations
        ]
        counts = {status.value: count for status, count in found.counts.items()}
        self.stdout.write(json.dumps({"balanced": not violations, "counts": counts, "violations": violations}))

    def _write_table(self, found: books.Books) -> None:
        self.table(["status", "notifications"], [[status.value, count] for status, count in found.counts.items()])
        for violation in found.violations:
            self.stdout.write(self.style.ERROR(f"\n{violation.kind}: {violation.count:,}"))
            self.stdout.write(f"  {violation.meaning}")
            for example in violation.examples:
                self.stdout.write(f"    {example}")
            if violation.count > len(violation.examples):
                self.stdout.write(f"    … and {violation.count - len(violation.examples):,} more")
        if not found.violations:
            self.stdout.write(self.style.SUCCESS("\nThe books balance."))


def _seconds(text: str) -> float:
    least = books.SHORTEST_WATCH.total_seconds()
    try:
        seconds = float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds") from None
    if not least <= seconds <= 3600:
        raise ArgumentTypeError(f"must be from {least:g} to 3600 seconds")
    return seconds
