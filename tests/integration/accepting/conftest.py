"""Django is not set up yet when this is read: what needs its models is imported where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pytest_django import Settings

if TYPE_CHECKING:
    from notifications.models import Client

    from .faces import Face

WEBHOOKS = {"default": "http://127.0.0.1:9/hook", "ops": "http://127.0.0.1:9/ops"}


@pytest.fixture(autouse=True)
def every_channel_configured(settings: Settings) -> None:
    # Nothing is sent here: no worker runs. The ports are of nobody.
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {
        "slack": {**known["slack"], "webhooks": WEBHOOKS},
        "email": {**known["email"], "sender": "us@example.com", "host": "127.0.0.1", "port": 9, "security": "none"},
        "sms": {**known["sms"], "account_sid": f"AC{'0' * 32}", "auth_token": "t" * 32, "from_number": "+15005550006"},
        "apprise": {**known["apprise"], "urls": {"phone": "json://127.0.0.1:9", "ops": "json://127.0.0.1:9/ops"}},
    }


@pytest.fixture
def published(transactional_db: None, every_channel_configured: None) -> None:
    """As a worker does when it starts."""
    from notifications.outbox import channel_rules

    channel_rules.publish()


@pytest.fixture
def client(published: None) -> Client:
    from tests.factories import ClientFactory

    return ClientFactory()


@pytest.fixture(params=["in-process", "sql", "rest"])
def face(request: pytest.FixtureRequest, published: None) -> Face:
    from .faces import FACES

    return FACES[request.param]()


@pytest.fixture(params=["in-process", "sql"])
def inner(request: pytest.FixtureRequest, published: None) -> Face:
    """A face that works in its caller's transaction."""
    from .faces import FACES

    return FACES[request.param]()
