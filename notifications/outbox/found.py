"""What the tables know for a look-up at a provider: since when there is a doubt, and whose what is found there is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from notifications.outbox.claim import Claim
from notifications.outbox.statement import run

UNNAMED: Final = ""  # the backend of an attempt that was lost and taken back by who did not know its lane
CODE: Final = "found"  # the code of an attempt that sent nothing: an earlier one's message was at the provider
_DOUBTFUL: Final = "'in_doubt', 'lost', 'unexpected'"
_SPACE: Final = "E' \\t\\n\\r\\x0b\\f'"  # around a text: a provider may have dropped it

# When the first attempt in doubt of each backend began. Index: primary key of attempt. Rows: (backend, moment).
DOUBTFUL_SINCE: Final = f"""
SELECT backend, min(started_at) FROM attempt WHERE notification_id = %(id)s AND outcome IN ({_DOUBTFUL})
GROUP BY backend ORDER BY min(started_at)
"""

# Look-ups for one recipient decide one after another, whoever's they are. What follows is quick, however much of it the
# planner expects: compiling it would take longer than running it. Rows: one, of no meaning.
ONE_BY_ONE: Final = """
SELECT set_config('jit', 'off', true), pg_advisory_xact_lock(hashtextextended(%(recipient)s::text, 0))
"""

# Whether the claim is still its worker's. Index: primary key. Rows: (id) if it is.
STILL_OURS: Final = """
SELECT id FROM notification
WHERE id = %(id)s AND attempt = %(attempt)s AND worker_id = %(worker)s AND status || '' = 'sending'
"""

# Whose are %(sids)s, by provider id, of all that went to %(recipient)s and did not end before %(since)s, any client's?
# `rivals`: sends of the same text that the provider may have taken and nobody knows the id of. They are the attempts in
# doubt, but for those that a receipt has named or a look-up has found, and what is being sent at this moment.
# Each step is lateral and not flattened (OFFSET 0), so that rows are found one by one, by index: the planner believes
# that every client has sent as much to a recipient as one has on average, and would rather read whole tables.
# Indexes: listing_recipient, primary keys, receipt's notification_id. Rows: one (sids of others, rivals).
OF_OTHERS: Final = f"""
WITH other AS MATERIALIZED (
    SELECT n.* FROM client AS c CROSS JOIN LATERAL unnest(ARRAY[c.id, -c.id]) AS o (owner) CROSS JOIN LATERAL (
        SELECT l.id FROM listing AS l
        WHERE l.recipient = hashtextextended(%(recipient)s::text, o.owner) AND l.id <> %(id)s OFFSET 0
    ) AS l CROSS JOIN LATERAL (
        SELECT n.id, n.body, n.provider_id, (n.status = 'sending' AND n.started_at IS NOT NULL)::int AS sending
        FROM notification AS n
        WHERE n.id = l.id AND n.recipient = %(recipient)s::text
          AND (n.finished_at IS NULL OR n.finished_at >= %(since)s) OFFSET 0
    ) AS n
), known AS (
    SELECT provider_id FROM other
    UNION ALL SELECT a.provider_id FROM other CROSS JOIN LATERAL (
        SELECT provider_id FROM attempt WHERE notification_id = other.id OFFSET 0
    ) AS a
    UNION ALL SELECT r.provider_id FROM other CROSS JOIN LATERAL (
        SELECT provider_id FROM receipt WHERE notification_id = other.id OFFSET 0
    ) AS r
), rival AS (
    SELECT greatest(0, other.sending + a.doubtful - a.found) AS sends FROM other CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE a.outcome IN ({_DOUBTFUL}) AND a.finished_at >= %(since)s AND (
                   SELECT r.id FROM receipt AS r
                   WHERE r.notification_id = a.notification_id AND r.attempt = a.number LIMIT 1
               ) IS NULL) AS doubtful,
               count(*) FILTER (WHERE a.outcome = 'accepted' AND a.code = '{CODE}') AS found
        FROM attempt AS a WHERE a.notification_id = other.id OFFSET 0
    ) AS a
    WHERE btrim(other.body, {_SPACE}) = btrim(%(body)s::text, {_SPACE})
)
SELECT ARRAY(SELECT sid FROM unnest(%(sids)s::text[]) AS s (sid) WHERE sid IN (SELECT provider_id FROM known)),
       (SELECT coalesce(sum(sends), 0)::int FROM rival)
"""

# Writes down whose it is, before anybody else looks. Index: primary key. Rows: none.
KEEP: Final = """
UPDATE notification SET provider_id = %(sid)s
WHERE id = %(id)s AND attempt = %(attempt)s AND worker_id = %(worker)s AND status || '' = 'sending'
"""


class NotOurs(Exception):
    """Raised when the claim was taken away in the meantime: it must not be sent by us."""


def doubtful_since(notification_id: UUID) -> dict[str, datetime]:
    """By the backends (or UNNAMED) that made attempts in doubt: when the first of these began."""
    return dict(run(DOUBTFUL_SINCE, {"id": notification_id}))


def keep(claim: Claim, provider_ids: Sequence[str], *, since: datetime) -> str:
    """Of the messages found at the provider the one that is this notification's, kept as its provider id; "" for none.

    Only what can be nobody else's: of messages that are known to be another's none, and of the others one where they
    are more than what others may have sent and nobody knows of. Raises: NotOurs; django.db's errors, after which it may
    be kept all the same. Safe to repeat.
    """
    fence = {"id": claim.id, "attempt": claim.attempt, "worker": claim.worker_id}
    asked = {"recipient": claim.recipient, "body": claim.body, "since": since, "sids": list(provider_ids)}
    with transaction.atomic():
        # A statement of its own: what follows must see what those before it have kept.
        run(ONE_BY_ONE, {"recipient": claim.recipient})
        if not run(STILL_OURS, fence):
            raise NotOurs
        if not provider_ids:
            return ""
        of_others, rivals = run(OF_OTHERS, {"id": claim.id} | asked)[0]
        free = [sid for sid in provider_ids if sid not in of_others]
        if len(free) <= rivals:
            return ""
        run(KEEP, fence | {"sid": free[0]})
        return free[0]
