"""Rows as the service would have written them: every state with what its CHECK constraints ask for.

NotificationFactory(status="sending", client=client)
AttemptFactory(notification=notification, outcome="transient")
"""

from __future__ import annotations

import base64
import secrets
import uuid
from datetime import UTC, datetime

import factory
from factory.django import DjangoModelFactory
from uuid_utils.compat import uuid7

from notifications import credentials
from notifications.models import ApiKey, Attempt, Client, Notification, WebhookEndpoint
from notifications.outbox import listing
from notifications.states import FINISHED, Outcome, Priority, Status

RECIPIENTS = {"slack": "default", "email": "ann@example.com", "sms": "+14155552671"}


def now(*_: object) -> datetime:
    return datetime.now(UTC)


class ClientFactory(DjangoModelFactory[Client]):
    class Meta:
        model = Client

    name = factory.Sequence(lambda n: f"client {n} {uuid.uuid4().hex[:8]}")


class ApiKeyFactory(DjangoModelFactory[ApiKey]):
    """`ApiKeyFactory(text=…)` where the test must know the key; its digest is what is stored."""

    class Meta:
        model = ApiKey

    class Params:
        text = factory.LazyAttribute(lambda key: credentials.new_key(test=key.is_test).text)

    client = factory.SubFactory(ClientFactory)
    is_test = False
    prefix = factory.LazyAttribute(lambda key: key.text.removeprefix("nk_").removeprefix("test_").split("_")[0])
    digest = factory.LazyAttribute(lambda key: credentials.digest(key.text))


class NotificationFactory(DjangoModelFactory[Notification]):
    class Meta:
        model = Notification
        skip_postgeneration_save = True

    id = factory.LazyFunction(uuid7)
    client = factory.SubFactory(ClientFactory)
    channel = "sms"
    lane = factory.LazyAttribute(lambda n: n.channel if n.channel != "slack" else f"slack:{n.recipient}")
    recipient = factory.LazyAttribute(lambda n: RECIPIENTS[n.channel])
    subject = factory.LazyAttribute(lambda n: "A subject" if n.channel == "email" else "")
    body = "A message."
    priority = Priority.NORMAL.value
    status = Status.PENDING.value
    attempt = factory.LazyAttribute(lambda n: 0 if n.status in {Status.PENDING, Status.CANCELED} else 1)
    worker_id = factory.LazyAttribute(lambda n: uuid.uuid4() if n.status == Status.SENDING else None)
    claimed_at = factory.LazyAttribute(lambda n: now() if n.status == Status.SENDING else None)
    error_code = factory.LazyAttribute(lambda n: "21211" if n.status == Status.FAILED else "")
    created_at = factory.LazyFunction(now)
    due_at = factory.SelfAttribute("created_at")
    finished_at = factory.LazyAttribute(lambda n: now() if n.status in FINISHED else None)

    @factory.post_generation
    def listed(self: Notification, create: bool, _: object, **__: object) -> None:
        if create:
            listing.list_([self.id])


class WebhookEndpointFactory(DjangoModelFactory[WebhookEndpoint]):
    class Meta:
        model = WebhookEndpoint

    id = factory.LazyFunction(uuid7)
    client = factory.SubFactory(ClientFactory)
    url = factory.Sequence(lambda n: f"https://example.com/notified/{n}")
    secret = factory.LazyFunction(lambda: f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}")


class AttemptFactory(DjangoModelFactory[Attempt]):
    class Meta:
        model = Attempt

    notification = factory.SubFactory(NotificationFactory, status=Status.SENT.value)
    number = factory.LazyAttribute(lambda attempt: max(1, attempt.notification.attempt))
    started_at = factory.LazyFunction(now)
    finished_at = factory.LazyFunction(now)
    outcome = Outcome.ACCEPTED.value
    backend = factory.LazyAttribute(lambda attempt: f"{attempt.notification.channel}_test")
    worker_id = factory.LazyFunction(uuid.uuid4)
