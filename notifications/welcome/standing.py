"""What is running, in a word for each part, from what /readyz knows and what the settings say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

from channels import sandbox
from channels.registry import Channel, backends_of, channels
from notifications.api.health import Readiness

CHANNEL_TITLES = {"slack": "Slack", "email": "Email", "sms": "SMS", "apprise": "Anywhere else"}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the service, and how it stands."""

    name: str
    word: str
    kind: str  # its colour: good, calm, bad, or none
    detail: str = ""


def parts(found: Readiness) -> list[Part]:
    return [_database(found), _migrations(found), _workers(found), _queue(found), _broker(found)]


def routes() -> Iterator[Part]:
    """Of each channel that clients can post to, where it leads; those that nobody misses are left out."""
    for known in channels().values():
        if not known.backend.internal and not known.unused:
            yield _route(known)


def is_played(name: str) -> bool:
    """Whether even what is not a test goes to the sandbox over this channel."""
    return sandbox.plays(settings.NOTIFIER_CHANNELS[name])


def _route(known: Channel) -> Part:
    title = CHANNEL_TITLES.get(known.name, known.name)
    if not known.backend.configured:
        return Part(title, "no provider", "calm", "requests for it are refused; tests may go to the sandbox")
    if is_played(known.name):
        return Part(title, "sandbox", "calm", "nobody is reached by it")
    names = ", then ".join(each.backend.name for each in backends_of(known))
    return Part(title, "real provider", "good", names)


def _database(found: Readiness) -> Part:
    good = found.report.get("database") == "ok"
    own = "Postgres of its own, embedded" if settings.EMBEDDED else "Postgres, as DATABASE_URL says"
    return Part("Database", "running" if good else "does not answer", "good" if good else "bad", own)


def _migrations(found: Readiness) -> Part:
    match found.report.get("migrations"):
        case "ok":
            return Part("Migrations", "applied", "good", "the tables are as this version has them")
        case "missing":
            return Part("Migrations", "missing", "bad", "run `migrate`")
        case _:
            return Part("Migrations", "unknown", "", "the database would know")


def _workers(found: Readiness) -> Part:
    alive: Any = found.report.get("workers")
    if alive is None:
        return Part("Workers", "unknown", "", "the database would know")
    return Part("Workers", f"{alive} alive", "good" if alive else "bad", "they send what is accepted")


def _queue(found: Readiness) -> Part:
    age: Any = found.report.get("queue_age")
    if age is None:
        return Part("Outbox", "unknown", "", "the database would know")
    late = age > settings.READY_QUEUE_AGE.total_seconds()
    word = f"{age:g} s behind" if age else "nothing waits"
    return Part("Outbox", word, "bad" if late else "good", "how long the oldest has been due")


def _broker(found: Readiness) -> Part:
    match found.report.get("broker"):
        case "none":
            return Part("Broker", "not needed", "good", "Postgres wakes the workers (LISTEN/NOTIFY)")
        case "ok":
            return Part("Broker", "running", "good", urlsplit(settings.BROKER_URL).scheme)
        case _:
            return Part("Broker", "does not answer", "bad", "workers look for themselves, once a second")
