"""Django is not set up yet when this is read: its models are imported where they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from pytest_django.fixtures import Settings

from channels.sandbox.server import Sandbox

if TYPE_CHECKING:
    from notifications.models import Client

Post = Callable[..., UUID]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as running:
        yield running


@pytest.fixture
def client_row(transactional_db: None) -> Client:
    from notifications.models import Client

    return Client.objects.create(name="a client")


@pytest.fixture
def providers(settings: Settings, sandbox: Sandbox) -> dict[str, str]:
    """Every channel points at the sandbox: in this process, which accepts, and in this environment, for workers."""
    known = sandbox.environment()
    channels = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {
        **channels,
        "slack": {**channels["slack"], "webhooks": {"default": known["SLACK_WEB_HOOK_URL"]}},
        "email": {
            **channels["email"],
            "sender": known["EMAIL_SENDER"],
            "host": known["SMTP_HOST"],
            "port": int(known["SMTP_PORT"]),
            "security": known["SMTP_SECURITY"],
        },
        "sms": {
            **channels["sms"],
            "account_sid": known["TWILIO_ACCOUNT_SID"],
            "auth_token": known["TWILIO_AUTH_TOKEN"],
            "from_number": known["TWILIO_FROM_NUMBER"],
            "base_url": known["TWILIO_BASE_URL"],
        },
    }
    return known


@pytest.fixture
def post(client_row: Client, providers: dict[str, str]) -> Post:
    """Accept in-process: post("hello"), post("hello", channel="sms", to="+14155552671")."""
    from notifications.services import NotificationRequest, accept

    def _post(text: str, *, channel: str = "slack", to: str = "default", key: str = "", **fields: Any) -> UUID:
        request = NotificationRequest(channel=channel, to=to, message=text, **fields)
        return accept(client_row, request, key=key or f"{channel} {text}").notification_id

    return _post


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    from tests import brokers

    with brokers.redis() as url:
        yield url


@pytest.fixture(scope="session")
def rabbitmq_url() -> Iterator[str]:
    from tests import brokers

    with brokers.rabbitmq() as url:
        yield url


@pytest.fixture(params=["none", "redis", "rabbitmq"])
def broker_url(request: pytest.FixtureRequest) -> str:
    """BROKER_URL of this test's processes: "" for none."""
    return "" if request.param == "none" else request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def nudges(broker_url: str) -> Iterator[str]:
    """This process's nudges go through the broker, as a web server's would."""
    import dramatiq
    from django.conf import settings

    from notifier import broker

    before = dramatiq.get_broker()
    dramatiq.set_broker(broker.build(broker_url, settings.NOTIFIER_CHANNELS))
    yield broker_url
    dramatiq.get_broker().close()
    dramatiq.set_broker(before)
