"""Where clients' receivers are: what the channel `webhook` asks before each send."""

from __future__ import annotations

from time import monotonic
from typing import Final

import structlog
from django.db import Error as DatabaseError
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.db.models.functions import Now

from channels.webhook import Endpoint, EndpointsUnavailable
from notifications.models import WebhookEndpoint
from notifications.outbox.statement import give_back

KNOWN_FOR: Final = 1.0  # seconds: one that is switched off is told nothing that much later
MOST_KNOWN: Final = 10_000

log = structlog.get_logger(__name__)


class KnownEndpoints:
    """Each is asked of the database once a second at most. Shared by threads without a lock: two learn the same."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Endpoint | None, float]] = {}

    def find(self, endpoint_id: str) -> Endpoint | None:
        """Raises: EndpointsUnavailable."""
        known = self._known.get(endpoint_id)
        asked = monotonic()
        if known is not None and asked < known[1]:
            return known[0]
        try:
            found = _read(endpoint_id)
        except DatabaseError as error:
            raise EndpointsUnavailable from error
        finally:
            give_back()
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[endpoint_id] = found, asked + KNOWN_FOR
        return found

    def switch_off(self, endpoint_id: str, reason: str) -> None:
        """Raises: EndpointsUnavailable."""
        try:
            active = WebhookEndpoint.objects.filter(pk=endpoint_id, is_active=True)
            if active.update(is_active=False, disabled_reason=reason):
                log.warning("webhook.switched_off", endpoint=endpoint_id, reason=reason)
        except DatabaseError as error:
            raise EndpointsUnavailable from error
        finally:
            give_back()
        self._known.pop(endpoint_id, None)


def _read(endpoint_id: str) -> Endpoint | None:
    both = ExpressionWrapper(Q(previous_until__gt=Now()), output_field=BooleanField())
    row = (
        WebhookEndpoint.objects.annotate(both=both)
        .values_list("url", "secret", "previous_secret", "is_active", "both")
        .filter(pk=endpoint_id)
        .first()
    )
    if row is None:
        return None
    url, secret, previous, is_active, still = row
    return Endpoint(url, [secret, previous] if still else [secret], is_active)


endpoints: Final = KnownEndpoints()
