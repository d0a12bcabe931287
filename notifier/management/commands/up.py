"""`manage.py up`: the whole service in the foreground."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core import checks
from django.core.management.base import BaseCommand

from notifier import lifeline, up


class Command(BaseCommand):
    help = (
        "Run everything on this machine until Ctrl-C: Postgres (unless DATABASE_URL is set), the web server, "
        "the workers, and a sandbox for test keys and in place of the providers that are not configured."
    )

    requires_system_checks: list[str] = []  # checked below: here it is no trouble that a channel has no provider

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--end-with-parent", action="store_true", help="stop, too, when whoever started this dies (Linux)"
        )

    def handle(self, *_: Any, end_with_parent: bool, **__: Any) -> None:
        if end_with_parent:
            lifeline.end_with_parent()
        messages = [message for message in checks.run_checks() if message.id != "notifier.W001"]
        for message in messages:
            self.stderr.write(str(message))
        if any(message.is_serious() and not message.is_silenced() for message in messages):
            sys.exit(1)
        try:
            up.run()
        except up.StartFailed as error:
            sys.exit(str(error))
