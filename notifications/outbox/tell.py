"""Tell a client's webhooks what became of its notifications: in the statement that decides it, or not at all."""

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from channels.registry import MARK
from notifications.outbox.listing import LIST_STORED, WEBHOOKS

CHANNEL: Final = WEBHOOKS  # what is told is a notification itself, of this channel and its own lane

# A receiver that was away for so long is told no more of it: that is `failed` as `expired`.
TOLD_FOR: Final[LiteralString] = "3 days"

_TIME: Final[LiteralString] = """to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

# A part of statements that settle notifications: for each of {changed} (id, client_id, status, error_code, provider_id,
# possible_duplicate), as they are now, one more for each of its client's webhooks that wants to know. They are joined
# to the row as it was before, of which nothing is taken that the statement changes. What is told is never told of.
# Where no client has any webhook, the first line of WHERE ends it before a row is looked at.
# Indexes: the primary key of notification; webhook_endpoint has ten rows for each client at most. Rows: (lane).
TELL: Final[LiteralString] = f"""told AS (
    INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority, due_at,
        expires_at, status, attempt, tries, losses, possible_duplicate, provider_id, error_code, correlation_id,
        idempotency_key, created_at)
    SELECT notifications_uuid7(), n.client_id, '{CHANNEL}', '{CHANNEL}:' || e.id, e.id::text, '', json_build_object(
            'type', 'notification.' || c.status,
            'timestamp', {_TIME.format("now()")},
            'data', json_build_object(
                'id', n.id, 'channel', n.channel, 'to', n.recipient, 'test', starts_with(n.lane, '{MARK}'),
                'status', c.status,
                'error_code', c.error_code, 'provider_id', c.provider_id, 'attempt', n.attempt,
                'possible_duplicate', c.possible_duplicate, 'metadata', n.metadata,
                'idempotency_key', nullif(n.idempotency_key, ''), 'correlation_id', n.correlation_id,
                'created_at', {_TIME.format("n.created_at")}
            )
        )::text, '{{}}', 1, now(), now() + interval '{TOLD_FOR}', 'pending', 0, 0, 0, false, '', '',
        n.correlation_id, '', now()
    FROM {{changed}} AS c
    JOIN webhook_endpoint e ON e.client_id = c.client_id AND e.is_active AND c.status = ANY(e.events)
    JOIN notification n ON n.id = c.id AND n.channel <> '{CHANNEL}'
    WHERE EXISTS (SELECT 1 FROM webhook_endpoint)
    RETURNING id, client_id, lane, recipient, correlation_id
), {LIST_STORED.replace("FROM stored", "FROM told")}"""


def lane(endpoint_id: UUID) -> str:
    """In which an endpoint is told."""
    return f"{CHANNEL}:{endpoint_id}"


def of(changed: LiteralString) -> LiteralString:
    """The part for the statement whose changed rows are `changed`; to be put into its WITH."""
    return TELL.replace("{changed}", changed)


# What such a statement returns of a changed row, for the part above.
TOLD_OF: Final[LiteralString] = "n.id, n.client_id, n.status, n.error_code, n.provider_id, n.possible_duplicate"
