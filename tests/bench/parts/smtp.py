"""Email through an SMTP server with TLS and login: a batch over one connection, and a connection for each message."""

from __future__ import annotations

import smtplib
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from time import perf_counter
from uuid import uuid4

from django.conf import settings

from channels.contract import Message
from channels.smtp import SmtpEmail
from tests.bench.report import Result
from tests.bench.servers import await_port
from tests.bench.sides import Bench
from tests.bench.smtp_server import PASSWORD, USER
from tests.ports import free_port

BODY = "Your order 42 has left our house and will be with you tomorrow.\n"


def run(bench: Bench) -> Iterator[Result]:
    count = 100 if bench.quick else 300
    if not settings.configured:
        settings.configure()  # Django's mail backend asks for its defaults
    with _server() as (port, ca):
        options = {"host": "localhost", "port": port, "username": USER, "password": PASSWORD, "security": "tls"}
        backend = SmtpEmail.from_options({**options, "sender": "us@example.com", "ca_file": str(ca)})
        each = "one connection per message (smtplib)"
        found = bench.rounds("smtp", {"ours": partial(_ours, backend, count), each: partial(_each, port, ca, count)})
    yield Result("email by SMTP with TLS and login, one thread", "messages/s", found["ours"], each, found[each], goal=5)


def _ours(backend: SmtpEmail, count: int) -> float:
    began = perf_counter()
    with backend.session() as session:
        for _ in range(count):
            session.send(
                Message(
                    notification_id=uuid4(),
                    attempt=1,
                    to="ann@example.com",
                    subject="Order 42",
                    body=BODY,
                    correlation_id="c-1",
                    created_at=datetime.now(UTC),
                )
            )
    return count / (perf_counter() - began)


def _each(port: int, ca: Path, count: int) -> float:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "us@example.com", "ann@example.com", "Order 42"
    message.set_content(BODY)
    context = ssl.create_default_context(cafile=str(ca))
    began = perf_counter()
    for _ in range(count):
        with smtplib.SMTP_SSL("localhost", port, context=context, timeout=10) as server:
            server.login(USER, PASSWORD)
            server.send_message(message)
    return count / (perf_counter() - began)


@contextmanager
def _server() -> Iterator[tuple[int, Path]]:
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="notifier-bench-") as folder:
        command = [sys.executable, "-m", "tests.bench.smtp_server", str(port), folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            await_port(port, server)
            yield port, Path(folder, "ca.pem")
        finally:
            server.terminate()
            server.wait()
