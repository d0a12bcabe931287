"""What `make run` runs, from the settings, and what it tells the person who ran it."""

from __future__ import annotations

import json
import os
import socket
import sys
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

from channels import sandbox
from channels.registry import channels
from notifier import first_run
from notifier.up.commands import WEB_GRACE, WORKER_GRACE, web_command, worker_command
from notifier.up.program import Program

# The variables of each channel that the sandbox can play.
_VARIABLES = {
    "slack": ("SLACK_",),
    "sms": ("TWILIO_", "SMS_BACKENDS"),
    "email": ("EMAIL_", "SMTP_", "RESEND_"),
}
_OURS = ("_ON_UNKNOWN", "_RATE")  # not the provider's word but ours: they hold with the sandbox, too


class Plan:
    """The programs of one run."""

    def __init__(self) -> None:
        self.data_dir: Path = settings.DATA_DIR
        self.played = tuple(
            name for name, known in channels().items() if name in _VARIABLES and not known.backend.configured
        )
        # Our own, for what has no provider and for test keys, unless theirs is elsewhere.
        self.has_sandbox = bool(self.played) or not settings.SANDBOX_URL
        self._allowed_hosts = self._hosts()
        self.environment = self._environment()

    def taken_ports(self) -> list[str]:
        """A sentence for each address that cannot be listened on."""
        wanted = []
        if settings.WEB_PROCESSES:
            wanted.append(("WEB_PORT", settings.WEB_HOST, settings.WEB_PORT))
        if self.has_sandbox:
            wanted.append(("SANDBOX_PORT", "127.0.0.1", settings.SANDBOX_PORT))
            wanted.append(("SANDBOX_SMTP_PORT", "127.0.0.1", settings.SANDBOX_SMTP_PORT))
        return [trouble for trouble in (_trouble(*each) for each in wanted) if trouble]

    def command(self, name: str, *arguments: str, **more: str) -> Program:
        """A management command that runs to its end."""
        manage = str(settings.BASE_DIR / "manage.py")
        return Program(name, (sys.executable, manage, *arguments), {**self.environment, **more}, grace=WEB_GRACE)

    def migrate(self) -> Program:
        return self.command("migrate", "migrate", "--noinput", "--verbosity", "0")

    def api_key(self) -> Program:
        return self.command("key", "create_api_key", "make run", "--ensure-from-file", str(self.api_key_file))

    def admin(self) -> Program:
        return self.command(
            "admin",
            *("createsuperuser", "--noinput"),
            DJANGO_SUPERUSER_USERNAME="admin",
            DJANGO_SUPERUSER_EMAIL="admin@localhost",
            DJANGO_SUPERUSER_PASSWORD=first_run.admin_password(self.data_dir),
        )

    def sandbox(self) -> list[Program]:
        return [self.command("sandbox", "sandbox")] if self.has_sandbox else []

    def web(self) -> list[Program]:
        if not settings.WEB_PROCESSES:
            return []
        command = web_command(settings.WEB_HOST, settings.WEB_PORT, settings.WEB_PROCESSES)
        environment = {**self.environment, "NOTIFIER_DIE_WITH_PARENT": "on"}
        return [Program("web", command, environment, grace=WEB_GRACE)]

    def workers(self) -> list[Program]:
        command = worker_command(settings.WORKER_THREADS)
        return [
            Program(f"worker {number}", command, self.environment, grace=WORKER_GRACE)
            for number in range(1, settings.WORKER_PROCESSES + 1)
        ]

    @property
    def api_key_file(self) -> Path:
        return first_run.path(self.data_dir, "api_key")

    @property
    def address(self) -> tuple[str, int]:
        """Where this machine reaches the web server."""
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (compared, not listened on)
        return everywhere.get(settings.WEB_HOST, settings.WEB_HOST), settings.WEB_PORT

    @property
    def host_header(self) -> str:
        """A host that the web server answers to."""
        here = _host(self.address[0])
        named = [host.lstrip(".") for host in self._allowed_hosts if host != "*"]
        return named[0] if named and here not in named else here

    def ready_text(self) -> str:
        """The line that says where everything is, and the curl line once more for itself, to be pasted."""
        parts = []
        curl = ""
        if settings.WEB_PROCESSES:
            base = settings.PUBLIC_URL or f"http://{_host(self.address[0])}:{self.address[1]}"
            curl = self._curl(base)
            password = first_run.path(self.data_dir, "admin_password")
            parts = [
                f"begin at {base}/",
                f"API {base}/api/v1/notifications",
                f"docs {base}/api/docs",
                f"admin {base}/admin/ (user admin, password in {password})",
            ]
        if self.has_sandbox:
            plays = f"plays the providers of {', '.join(self.played)}" if self.played else "takes what test keys send"
            parts.append(f"sandbox http://127.0.0.1:{settings.SANDBOX_PORT}/ ({plays})")
        if curl:
            parts.append(f"try {curl}")
        return f"\nready: {' · '.join(parts) or 'nothing but the database'}\n" + (f"\n{curl}\n" if curl else "")

    def _curl(self, base: str) -> str:
        slack: Mapping[str, Any] = settings.NOTIFIER_CHANNELS["slack"]
        names = slack.get("webhooks") or slack.get("urls") or ("default",)
        destination = "default" if "default" in names else next(iter(names))
        body = {"channel": "slack", "to": destination, "message": "Hello from the outbox"}
        key = self.api_key_file.read_text(encoding="utf-8").strip()
        return (
            f"curl -sS -X POST {base}/api/v1/notifications -H 'Authorization: Bearer {key}' "
            f"-H 'Content-Type: application/json' -H 'Idempotency-Key: {uuid.uuid4()}' -d '{json.dumps(body)}'"
        )

    def _hosts(self) -> list[str]:
        """ALLOWED_HOSTS as given; else what the settings say, and this machine by the names that people give it."""
        if os.environ.get("ALLOWED_HOSTS", "").strip():
            return list(settings.ALLOWED_HOSTS)
        here = _host(self.address[0])
        return list(dict.fromkeys([*settings.ALLOWED_HOSTS, "localhost", "127.0.0.1", "[::1]", here]))

    def _environment(self) -> Mapping[str, str]:
        environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "notifier.settings",
            "DATA_DIR": str(self.data_dir),
            "METRICS_DIR": str(settings.METRICS_DIR),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(settings.BASE_DIR), os.environ.get("PYTHONPATH", "")))),
            "PYTHONUNBUFFERED": "1",
            "ALLOWED_HOSTS": ",".join(self._allowed_hosts),
            # The children write into our pipe and cannot see that a person reads.
            "LOG_FORMAT": settings.LOG_FORMAT,
            "SANDBOX_URL": settings.SANDBOX_URL or f"http://127.0.0.1:{settings.SANDBOX_PORT}",
        }
        stand_in = sandbox.environment(settings.SANDBOX_PORT, settings.SANDBOX_SMTP_PORT)
        for name in self.played:
            # A leftover of an unfinished configuration must not mix with the sandbox's.
            leftovers = (v for v in os.environ if v.startswith(_VARIABLES[name]) and not v.endswith(_OURS))
            environment |= dict.fromkeys(leftovers, "")
            environment |= {v: value for v, value in stand_in.items() if v.startswith(_VARIABLES[name])}
        return environment


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _trouble(variable: str, host: str, port: int) -> str:
    """Why nothing can listen there; empty where something can."""
    if not 0 < port < 65536:
        return f"{variable} must be a port between 1 and 65535, not {port}."
    try:
        (family, kind, _, _, address), *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        with socket.socket(family, kind) as probe:
            # Without SO_REUSEPORT, with which the web server would share the port of another one unnoticed.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        return f"{host}:{port} cannot be listened on ({error.strerror}): set {variable} to a free port."
    return ""
