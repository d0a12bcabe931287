"""The test notification of the first page: asked for as any client asks, and delivered to the sandbox alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError
from rest_framework.exceptions import ValidationError

from channels.registry import open_channels, twins
from notifications import selectors, services
from notifications.api import throttling
from notifications.api.kinds import KINDS
from notifications.api.problems import Problem, problem_of
from notifications.api.serializers import NewNotification
from notifications.models import Client, Notification
from notifications.welcome.standing import CHANNEL_TITLES

CLIENT: Final = "first run"
A_MINUTE: Final = 30  # more than anybody presses a button; the client's own limit, which the admin may change
OPERATION: Final = "POST /"  # what its keys are remembered for
MESSAGE: Final = "Hello from the outbox"
FIELDS: Final = ("channel", "to", "message")
_FORESEEN: Final = (
    *(ValidationError, services.Refused, services.NoSandbox, services.KeyReused, services.KeyInUse, Problem),
    *(services.Unavailable, OperationalError, InterfaceError),
)
_WITH_A_SUBJECT: Final = frozenset({"email"})
_RECIPIENTS: Final = {"email": "ann@example.com", "sms": "+14155552671"}


@dataclass(frozen=True, slots=True)
class Choice:
    """A channel that the sandbox plays."""

    name: str
    title: str
    to: str  # to whom, where nobody is named; of nobody
    hint: str


class Unsent(Exception):
    """Raised when it was refused; what is to be mended, in the API's words, by the field or "" for none of them."""

    def __init__(self, status: int, errors: dict[str, str], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(errors))
        self.status = status
        self.errors = errors
        self.headers = headers or {}


def choices() -> list[Choice]:
    return [_choice(name) for name in open_channels() if name in twins()]


def send(posted: Mapping[str, str], *, correlation_id: str, meta: dict[str, Any]) -> services.Accepted:
    """Once for its key, by the way of every request. `meta`: of the HTTP request. Raises: Unsent."""
    try:
        client, _ = Client.objects.get_or_create(name=CLIENT, defaults={"rate_limit": A_MINUTE})
        throttling.charge_client(client, 1, meta)
        return services.accept(
            client,
            NewNotification.read(body_of(posted)),
            key=posted.get("key", ""),
            operation=OPERATION,
            correlation_id=correlation_id,
            test=True,
        )
    except services.InvalidKey as error:
        raise Unsent(400, {"": f"{error} Load the page again: it comes with a key."}) from None
    except _FORESEEN as error:
        raise _unsent(problem_of(error)) from None


def sent(notification_id: UUID) -> Notification:
    """One that was sent from here. Raises: Notification.DoesNotExist, also where somebody else sent it."""
    client = Client.objects.filter(name=CLIENT).first()
    if client is None:
        raise Notification.DoesNotExist
    return selectors.notification(client, notification_id, test=True)


def body_of(posted: Mapping[str, str]) -> dict[str, str]:
    """What a client would post, to an example where nobody is named."""
    body = {name: posted.get(name, "") for name in FIELDS}
    body["message"] = body["message"].replace("\r\n", "\n")  # which is how the lines of a form end
    if not body["to"].strip():
        body["to"] = next((each.to for each in choices() if each.name == body["channel"]), "")
    if body["channel"] in _WITH_A_SUBJECT:
        body["subject"] = "A first notification"
    return body


def _choice(name: str) -> Choice:
    hints = {"slack": "the name of a webhook", "email": "an address", "sms": "a number in E.164"}
    return Choice(name, CHANNEL_TITLES.get(name, name), _recipient(name), hints.get(name, "as the channel has them"))


def _recipient(name: str) -> str:
    names: Mapping[str, str] = settings.NOTIFIER_CHANNELS[name]["sandbox"].get("webhooks", {})
    return "default" if "default" in names else next(iter(names), _RECIPIENTS.get(name, ""))


def _unsent(problem: Problem) -> Unsent:
    errors: dict[str, str] = {}
    for error in problem.errors:
        own = error.field in FIELDS
        words = error.detail if own else f"{error.field}: {error.detail}"
        errors.setdefault(error.field if own else "", words)
    return Unsent(KINDS[problem.code].status, errors or {"": problem.detail}, problem.headers)
