"""Where a client wants to be told what becomes of its notifications."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from channels.registry import channels
from channels.webhook import StandardWebhook
from notifications import nudge
from notifications.intake import Problem, Refused
from notifications.models import Client, WebhookEndpoint
from notifications.outbox import lanes, tell
from notifications.services.errors import WebhookConflict

MOST_WEBHOOKS: Final = 10  # of one client: each of its notifications is told to all of them
ROTATION: Final = timedelta(hours=24)  # for which the secret before signs as well: a day to deploy the new one
SECRET_BYTES: Final = 32  # the scheme asks for 24 to 64


def create_webhook(client: Client, *, url: str, events: Sequence[str], description: str = "") -> WebhookEndpoint:
    """Make one; its secret is to be shown now. Raises: Refused, WebhookConflict."""
    _check(url)
    with transaction.atomic():
        _alone(client)
        _check_free(client, url)
        if client.webhooks.count() >= MOST_WEBHOOKS:
            raise WebhookConflict(f"There may be {MOST_WEBHOOKS} webhooks: delete one.")
        return WebhookEndpoint.objects.create(
            id=uuid7(), client=client, url=url, events=list(events), description=description, secret=_new_secret()
        )


def change_webhook(webhook: WebhookEndpoint, changes: Mapping[str, Any]) -> WebhookEndpoint:
    """`changes`: of `url`, `events`, `description` and `is_active`.

    Raises: Refused, WebhookConflict, WebhookEndpoint.DoesNotExist.
    """
    if "url" in changes and changes["url"] != webhook.url:
        _check(changes["url"])
    with transaction.atomic():
        _alone(webhook.client)
        current = WebhookEndpoint.objects.select_for_update().get(pk=webhook.pk)
        if "url" in changes and changes["url"] != current.url:
            _check_free(webhook.client, changes["url"])
        for name, value in changes.items():
            setattr(current, name, value)
        if changes.get("is_active"):
            current.disabled_reason = ""
        current.save(update_fields=[*changes, "disabled_reason"])
        if "url" in changes or changes.get("is_active"):
            _wake(current)  # what kept it from being told may be mended
    return current


def rotate_webhook(webhook: WebhookEndpoint) -> WebhookEndpoint:
    """Give it another secret, to be shown now; the one before signs as well for a day, those before that no more.

    Raises: WebhookEndpoint.DoesNotExist.
    """
    with transaction.atomic():
        current = WebhookEndpoint.objects.select_for_update().get(pk=webhook.pk)
        current.previous_secret, current.secret = current.secret, _new_secret()
        current.previous_until = Now() + ROTATION
        current.save(update_fields=["secret", "previous_secret", "previous_until"])
    current.refresh_from_db()
    return current


def switch_off_webhooks(ids: Collection[UUID], reason: str) -> None:
    """Tell nothing more to these until their client switches them on. Safe to repeat."""
    WebhookEndpoint.objects.filter(pk__in=ids, is_active=True).update(is_active=False, disabled_reason=reason)


def delete_webhook(webhook: WebhookEndpoint) -> None:
    """What it was not told yet fails. Safe to repeat."""
    with transaction.atomic():
        WebhookEndpoint.objects.filter(pk=webhook.pk).delete()
        _wake(webhook)


def _wake(webhook: WebhookEndpoint) -> None:
    """End the pause of its lane, but for an operator's, and have a worker look."""
    lane = tell.lane(webhook.pk)
    lanes.reopen(lane)
    transaction.on_commit(partial(nudge.request, lane))


def _new_secret() -> str:
    return f"whsec_{base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()}"


def _alone(client: Client) -> None:
    """Until the end of the transaction nobody else changes which webhooks this client has."""
    Client.objects.select_for_update(no_key=True).get(pk=client.pk)


def _check(url: str) -> None:
    known = channels().get(tell.CHANNEL)
    if known is None or not isinstance(known.backend, StandardWebhook):
        raise Refused(Problem("url", "channel_not_configured", "webhooks are not configured on this service"))
    if wrong := known.backend.wrong_url(url):
        raise Refused(Problem("url", "invalid_url", wrong))


def _check_free(client: Client, url: str) -> None:
    if client.webhooks.filter(url=url).exists():
        raise WebhookConflict("There is a webhook at this address already.")
