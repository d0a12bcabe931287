"""`manage.py sandbox`: play every provider on this machine, until SIGINT or SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from channels.sandbox.server import Sandbox


class Command(BaseCommand):
    help = "Play Slack, Twilio and an SMTP server on this machine, and show what they receive on a web page."
    requires_system_checks: list[str] = []  # it needs no database and no other setting

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: loopback)")
        parser.add_argument("--port", type=int, default=settings.SANDBOX_PORT, help="HTTP; 0 for any free one")
        parser.add_argument("--smtp-port", type=int, default=settings.SANDBOX_SMTP_PORT, help="0 for any free one")
        parser.add_argument("--journal", type=Path, help="append every message to this file, a JSON line each")

    def handle(self, *_: Any, host: str, port: int, smtp_port: int, journal: Path | None, **__: Any) -> None:
        try:
            sandbox = Sandbox(port, smtp_port, host=host, journal=journal, public_url=settings.PUBLIC_URL)
            asyncio.run(self._serve(sandbox))
        except OSError as error:
            raise CommandError(f"The sandbox cannot start: {error}") from None

    async def _serve(self, sandbox: Sandbox) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)

        def ready() -> None:
            # One line, for people and for whoever started us and must learn the ports.
            http, smtp = (f"{sandbox.host}:{port}" for port in (sandbox.http_port, sandbox.smtp_port))
            self.stdout.write(f"sandbox ready http={http} smtp={smtp}")
            self.stdout.flush()

        await sandbox.serve(stop, ready)
