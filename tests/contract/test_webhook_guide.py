"""The guide's own receiver, taken from the page and told something."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from channels.contract import ConfigurationError, Receipt
from channels.webhook import Endpoint, StandardWebhook
from tests.contract.providers import MESSAGE, SIGNING_SECRET, outcome, receivers
from tests.eventually import eventually
from tests.ports import free_port
from tests.processes import plain_environment

GUIDE = Path(__file__).resolve().parent.parent.parent / "docs" / "webhooks.md"
[PYTHON] = re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
[PAYLOAD] = re.findall(r"^```json\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
ID = "0190163d-8694-739b-aea5-966c26f8ad93"
TOLD = MESSAGE._replace(to=ID, body=PAYLOAD)


class Running:
    def __init__(self, popen: subprocess.Popen[str], port: int) -> None:
        self.popen = popen
        self.port = port

    def printed(self) -> str:
        self.popen.kill()
        return self.popen.communicate(timeout=10)[0]


@pytest.fixture
def receiver() -> Iterator[Running]:
    port = free_port()
    environment = plain_environment(WEBHOOK_SECRET=SIGNING_SECRET, PORT=str(port))
    with subprocess.Popen(
        [sys.executable, "-c", PYTHON],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as popen:
        eventually(lambda: popen.poll() is not None or listens(port), what="the receiver listens")
        try:
            yield Running(popen, port)
        finally:
            popen.kill()


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def at(port: int, secret: str) -> StandardWebhook:
    receivers.known[ID] = Endpoint(f"http://127.0.0.1:{port}/notified", [secret], is_active=True)
    return StandardWebhook.from_options(
        {"endpoints": "tests.contract.providers.receivers", "allowed_networks": ["127.0.0.0/8"]}
    )


def test_the_guides_receiver_takes_what_is_signed_and_takes_it_once(receiver: Running) -> None:
    for _ in range(2):
        assert isinstance(outcome(at(receiver.port, SIGNING_SECRET), TOLD), Receipt)

    assert receiver.printed() == "0190163d-8694-739b-aea5-966c26f8ad91 failed\n"


def test_the_guides_receiver_refuses_what_another_signed(receiver: Running) -> None:
    anothers = "whsec_YW5vdGhlci1zZWNyZXQtb2YtYS1zdGFuZC1pbi0wMg=="

    assert isinstance(outcome(at(receiver.port, anothers), TOLD), ConfigurationError)
    assert receiver.printed() == ""
