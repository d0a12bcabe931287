"""`manage.py create_api_key NAME`: make a client, if need be, and a key for it."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from notifications import credentials, services
from notifications.models import ApiKey, Client


class Command(BaseCommand):
    help = "Creates an API key for a client (made if there is none of that name) and prints it once."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("client", help="the client's name")
        parser.add_argument("--name", default="", help="what this key is for, to tell a client's keys apart")
        parser.add_argument(
            "--ensure-from-file",
            type=Path,
            metavar="PATH",
            help="keep the key in this file if it is valid; else write a new one there, readable by its owner alone",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 < len(options["client"]) <= 100:
            raise CommandError("The client's name must have 1 to 100 characters.")
        client, _ = Client.objects.get_or_create(name=options["client"])
        path: Path | None = options["ensure_from_file"]
        if path is None:
            self.stdout.write(services.create_api_key(client, name=options["name"]))
            return
        if not _valid(path, client):
            _write_private(path, services.create_api_key(client, name=options["name"]))


def _valid(path: Path, client: Client) -> bool:
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return False
    return ApiKey.objects.filter(
        client=client, digest=credentials.digest(text), revoked_at=None, expires_at=None
    ).exists()


def _write_private(path: Path, text: str) -> None:
    # Written aside and renamed: a reader sees the old key or the new one, never half of it.
    aside = path.with_name(path.name + ".new")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")
    aside.replace(path)
