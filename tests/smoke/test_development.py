"""The development profile of docker-compose.yml, on a copy of the checkout that the tests edit."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from time import monotonic
from urllib.request import urlopen

import pytest

from tests.eventually import eventually
from tests.faults.clients import Call
from tests.smoke.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("channel", ["slack", "email", "sms"])
def test_from_nothing_it_comes_up_and_a_notification_goes_through(development: Stack, channel: str) -> None:
    call = development.send(channel, f"through development by {channel}")
    eventually(lambda: development.status(call) == "sent", what="the status `sent`")
    assert development.received(call.text) == [call.text]


def test_every_container_that_lasts_becomes_healthy(development: Stack, told: Callable[[str], None]) -> None:
    took = development.until_healthy()
    names = sorted(each["Config"]["Labels"]["com.docker.compose.service"] for each in development.inspect())
    assert names == ["migrate-dev", "postgres-dev", "rabbitmq", "sandbox", "web-dev", "worker-dev"]
    told(f"development: all healthy {took:.0f} s after the first answers")


def test_the_web_server_picks_up_an_edited_file(
    development: Stack, checkout: Path, told: Callable[[str], None]
) -> None:
    edit(checkout / "notifications/api/health.py", '{"status": "alive"}', '{"status": "alive, and edited"}')
    began = monotonic()

    def edited() -> bool:
        with suppress(OSError), urlopen(f"{development.url}/healthz", timeout=5) as answer:
            return bool(json.load(answer)["status"] == "alive, and edited")
        return False

    eventually(edited, seconds=60, what="the edited answer")
    told(f"web-dev answers as edited after {monotonic() - began:.1f} s")


def test_the_worker_picks_up_an_edited_file_and_loses_nothing_over_it(
    development: Stack, checkout: Path, told: Callable[[str], None]
) -> None:
    development.until_healthy()
    edit(checkout / "channels/slack.py", '{"text": message.body,', '{"text": f"edited: {message.body}",')
    began = monotonic()
    number = count(1)
    calls: list[Call] = []

    def edited() -> bool:
        # One after another, for a worker is at its old work until it has gone.
        calls.append(development.send("slack", f"while the worker is edited: {next(number)}."))
        eventually(lambda: development.received(calls[-1].text), seconds=60, what="the message")
        return development.received(calls[-1].text) == [f"edited: {calls[-1].text}"]

    eventually(edited, seconds=60, what="a message of the edited code")
    told(f"worker-dev sends as edited after {monotonic() - began:.1f} s, {len(calls)} notifications later")
    for call in calls:
        eventually(lambda call=call: development.status(call) == "sent", what="the status `sent`")  # type: ignore[misc]
        assert len(development.received(call.text)) == 1


@pytest.mark.parametrize("service", ["worker-dev", "web-dev", "sandbox", "postgres-dev"])
def test_it_stops_by_itself_within_its_grace(development: Stack, service: str, told: Callable[[str], None]) -> None:
    # Where `watchfiles` is just starting the worker anew it says that it was interrupted.
    told(f"development stopped: {development.stop(service, exits=(0, 130) if service == 'worker-dev' else (0,))}")
