"""`manage.py create_api_key NAME`: make a client, if need be, and a key for it."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from channels.registry import twins
from notifications import credentials, services
from notifications.credentials import Scope
from notifications.management.operators import actor, audited, moment, user
from notifications.models import ApiKey, Client


class Command(BaseCommand):
    help = "Creates an API key for a client (made if there is none of that name) and prints it once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("client", help="the client's name")
        parser.add_argument("--name", default="", help="what this key is for, to tell a client's keys apart")
        parser.add_argument(
            "--scope",
            action="append",
            choices=[scope.value for scope in Scope],
            help="what the key allows; may be repeated (default: all)",
        )
        parser.add_argument(
            "--expires", type=moment, help="the ISO 8601 time from which it is no good (default: never)"
        )
        parser.add_argument(
            "--test",
            action="store_true",
            help="a test key (nk_test_…): what it asks for is delivered to the sandbox only",
        )
        parser.add_argument(
            "--ensure-from-file",
            type=Path,
            metavar="PATH",
            help="keep the key in this file if it is valid; else write a new one there, readable by its owner alone",
        )
        parser.add_argument("--actor", type=actor, help="who is doing this (default: your name on this machine)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 < len(options["client"]) <= 100:
            raise CommandError("The client's name must have 1 to 100 characters.")
        path: Path | None = options["ensure_from_file"]
        expires_at: datetime | None = options["expires"]
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise CommandError("--expires must be in the future.")
        if path is not None and (options["scope"] or expires_at or options["test"]):
            raise CommandError("The key of --ensure-from-file is live, allows everything and never expires.")
        if options["test"] and not twins():
            # No refusal: `make run` gives its own programs an address that this command is not told.
            warning = "Here no sandbox is configured. Where SANDBOX_URL is not set this key is refused: 403."
            self.stderr.write(self.style.WARNING(warning))
        if path is None:
            self.stdout.write(_made(options))
        elif not _valid(path, options["client"]):
            _write_private(path, _made(options))


def _made(options: dict[str, Any]) -> str:
    """The new key's text."""
    who = options["actor"] or user()
    scopes = [Scope(each) for each in options["scope"] or Scope]
    with transaction.atomic():
        client, new = Client.objects.get_or_create(name=options["client"])
        if new:
            audited(services.Noted.MAKE_CLIENT, who, client.name)
        made, text = services.create_api_key(
            client, name=options["name"], scopes=scopes, expires_at=options["expires"], test=options["test"]
        )
        audited(services.Noted.MAKE_KEY, who, f"{made} of {client.name}", detail=made.grants)
    return text


def _valid(path: Path, client: str) -> bool:
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return False
    return ApiKey.objects.filter(
        client__name=client, digest=credentials.digest(text), revoked_at=None, expires_at=None
    ).exists()


def _write_private(path: Path, text: str) -> None:
    # Written aside and renamed: a reader sees the old key or the new one, never half of it.
    aside = path.with_name(path.name + ".new")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")
    aside.replace(path)
