"""Finished notifications forget to whom they went and what they said; that they went, when and how is kept.

In short transactions of their own, which lock finished rows that nobody holds: never in a claim's way. The walk goes
past each notification once, and keeps its place. What was open or had not been finished for long enough when it came
by is written down as a straggler, and looked at again each time: no history is walked twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, LiteralString
from uuid import UUID

from django.db import transaction

from notifications.outbox.listing import CORRELATION, LABEL, OWNER, RECIPIENT, WEBHOOKS
from notifications.outbox.purge import FIRST_ID_SINCE
from notifications.outbox.statement import run
from notifications.states import Status

BATCH: Final = 500  # notifications in one transaction: row locks for tens of milliseconds, on rows nobody works on

# Finished, and neither being changed by anybody nor redacted already. Looked at again once it is locked.
_FINISHED: Final[LiteralString] = (
    "n.redacted_at IS NULL AND n.status || '' IN ('sent', 'delivered', 'failed', 'canceled')"
)
_OLD_ENOUGH: Final[LiteralString] = f"{_FINISHED} AND n.finished_at < now() - %(older_than)s::interval"
_COLUMNS: Final[LiteralString] = "n.id, n.client_id, n.lane, n.metadata"

# Redacts the notifications `old`, which are locked, everywhere that tells to whom they went or what they said: their
# rows, their clients' lists, what providers answered (which names addresses), and their links to files, which go by the
# purge. The correlation id, the idempotency key and the provider's id are names of requests and stay, as do counts,
# times, codes and who did what. Five CTEs. Indexes: primary keys, attachment_link's by notification.
_REDACT_OLD: Final[LiteralString] = f"""redacted AS (
    UPDATE notification n
    SET recipient = '', subject = '', body = '', metadata = '{{}}', content = NULL, redacted_at = now()
    FROM old WHERE n.id = old.id
    RETURNING n.id
), relisted AS (
    UPDATE listing l SET recipient = {RECIPIENT.format(recipient="''", client="l.client_id")}
    FROM old WHERE l.client_id = {OWNER.format(row="old")} AND l.id = old.id
), unlabeled AS (
    DELETE FROM label l USING (
        SELECT old.id, {LABEL.format(key="m.key", value="m.value", client=OWNER.format(row="old"))} AS term
        FROM old CROSS JOIN LATERAL jsonb_each_text(old.metadata) AS m
    ) AS was WHERE l.term = was.term AND l.id = was.id
), unlinked AS (
    DELETE FROM attachment_link WHERE notification_id IN (SELECT id FROM old)
), silenced AS (
    UPDATE attempt SET detail = '' WHERE notification_id IN (SELECT id FROM old) AND detail <> ''
)"""

_FIRST: Final[LiteralString] = "'00000000-0000-0000-0000-000000000000'::uuid"
# Where the walk begins for the first time. Rows: none.
BEGIN: Final = f"INSERT INTO redaction (one, through) VALUES (true, {_FIRST}) ON CONFLICT DO NOTHING"

# Held for as long as a batch takes: two that redact at once take turns, and go on where the other has come to.
_TURN: Final[LiteralString] = "turn AS MATERIALIZED (SELECT through FROM redaction FOR UPDATE)"
# For whoever only counts, and writes nothing.
_NO_TURN: Final[LiteralString] = (
    f"turn AS MATERIALIZED (SELECT coalesce((SELECT through FROM redaction), {_FIRST}) AS through)"
)
# The next of the walk, to before %(newest)s: ids are in the order of time, and nothing finishes before it is accepted.
# Index: primary key.
_NEXT_OF_WALK: Final[LiteralString] = f"""next AS MATERIALIZED (
    SELECT n.id, n.redacted_at FROM turn CROSS JOIN LATERAL (
        SELECT id, redacted_at FROM notification
        WHERE id > greatest(turn.through, %(after)s::uuid) AND id < %(newest)s::uuid ORDER BY id LIMIT {BATCH}
    ) AS n
)"""
# The next of those that the walk has left behind. Index: primary key.
_NEXT_STRAGGLERS: Final[LiteralString] = f"""next AS MATERIALIZED (
    SELECT s.id FROM turn CROSS JOIN LATERAL (
        SELECT id FROM straggler WHERE id > %(after)s::uuid ORDER BY id LIMIT {BATCH}
    ) AS s
)"""
_OLD: Final[LiteralString] = f"""old AS MATERIALIZED (
    SELECT {_COLUMNS} FROM notification n WHERE n.id = ANY(ARRAY(SELECT id FROM next)) AND {_OLD_ENOUGH}"""
_LAST: Final[LiteralString] = "(SELECT id FROM next ORDER BY id DESC LIMIT 1)"

# Rows of the four: (redacted, or to be; last id looked at, null at the end), one row.
WALK: Final = f"""
WITH {_TURN}, {_NEXT_OF_WALK}, {_OLD} FOR UPDATE SKIP LOCKED), {_REDACT_OLD}, left_behind AS (
    INSERT INTO straggler (id)
    SELECT id FROM next WHERE redacted_at IS NULL AND id NOT IN (SELECT id FROM old)
    ON CONFLICT DO NOTHING
), gone_through AS (
    UPDATE redaction SET through = {_LAST} WHERE EXISTS (SELECT 1 FROM next)
)
SELECT (SELECT count(*) FROM redacted), {_LAST}
"""
CATCH_UP: Final = f"""
WITH {_TURN}, {_NEXT_STRAGGLERS}, {_OLD} FOR UPDATE SKIP LOCKED), {_REDACT_OLD}, caught_up AS (
    DELETE FROM straggler s USING next WHERE s.id = next.id AND (
        s.id IN (SELECT id FROM old)
        OR NOT EXISTS (SELECT 1 FROM notification n WHERE n.id = next.id AND n.redacted_at IS NULL)
    )
)
SELECT (SELECT count(*) FROM redacted), {_LAST}
"""
COUNT_WALK: Final = f"WITH {_NO_TURN}, {_NEXT_OF_WALK}, {_OLD}) SELECT (SELECT count(*) FROM old), {_LAST}"
COUNT_STRAGGLERS: Final = f"WITH {_NO_TURN}, {_NEXT_STRAGGLERS}, {_OLD}) SELECT (SELECT count(*) FROM old), {_LAST}"

# Whose messages went to one of %(recipients)s over one of %(channels)s (null: over any), over all clients.
# Indexes: listing_recipient, whose hash may be another's, too; primary key. Rows: (id, channel, status, redactable).
OF_RECIPIENT: Final = f"""
SELECT n.id, n.channel, n.status, n.redactable
FROM unnest(%(recipients)s::text[]) AS asked (recipient)
CROSS JOIN (SELECT id AS owner FROM client UNION ALL SELECT -id FROM client) AS o
CROSS JOIN LATERAL (
    SELECT l.id FROM listing l
    WHERE l.recipient = {RECIPIENT.format(recipient="asked.recipient", client="o.owner")} OFFSET 0
) AS l
CROSS JOIN LATERAL (
    SELECT n.id, n.channel, n.status, {_FINISHED} AS redactable FROM notification n
    WHERE n.id = l.id AND n.recipient = asked.recipient AND n.channel <> '{WEBHOOKS}'
      AND (%(channels)s::text[] IS NULL OR n.channel = ANY(%(channels)s::text[])) OFFSET 0
) AS n
ORDER BY n.id
"""

# Holds those of %(ids)s that are finished, so that what is told of them from here on waits. Index: primary key.
# Rows: (id).
HOLD: Final = (
    f"SELECT n.id FROM notification n WHERE n.id = ANY(%(ids)s::uuid[]) AND {_FINISHED} FOR UPDATE SKIP LOCKED"
)

# What a client's webhooks are told names the recipient, and bears the correlation id of what it is about.
_ABOUT: Final[LiteralString] = """substring(w.body FROM '"id" : "([0-9a-f-]{36})"')::uuid"""

# Redacts %(ids)s, which are held, with what webhooks were told of them. One of which a webhook is being told is left
# alone, for as long as that takes (three days at most). Indexes: primary keys, listing_correlation. Rows: (id).
FORGET: Final = f"""
WITH chosen AS MATERIALIZED (
    SELECT {_COLUMNS}, n.correlation_id FROM notification n WHERE n.id = ANY(%(ids)s::uuid[])
), tellings AS MATERIALIZED (
    SELECT w.id, {_ABOUT} AS about
    FROM (SELECT DISTINCT client_id, correlation_id FROM chosen) AS c
    CROSS JOIN LATERAL (
        SELECT l.id FROM listing l
        WHERE l.correlation = {CORRELATION.format(correlation_id="c.correlation_id", client="c.client_id")} OFFSET 0
    ) AS l
    JOIN notification w ON w.id = l.id AND w.channel = '{WEBHOOKS}' AND w.redacted_at IS NULL
    WHERE {_ABOUT} = ANY(%(ids)s::uuid[])
), told AS MATERIALIZED (
    SELECT {_COLUMNS} FROM notification n WHERE n.id = ANY(ARRAY(SELECT id FROM tellings)) AND {_FINISHED}
    FOR UPDATE SKIP LOCKED
), old AS MATERIALIZED (
    SELECT id, client_id, lane, metadata FROM chosen
    WHERE id NOT IN (SELECT about FROM tellings WHERE id NOT IN (SELECT id FROM told))
    UNION ALL
    SELECT * FROM told
), {_REDACT_OLD}
SELECT id FROM redacted WHERE id = ANY(%(ids)s::uuid[])
"""


@dataclass(frozen=True, slots=True)
class Found:
    """One that went to the recipient, or is to go."""

    id: UUID
    channel: str
    status: Status
    redactable: bool  # finished, and not redacted already


def redact(*, older_than: timedelta, counting: bool = False) -> Iterator[int]:
    """Redact what finished longer ago than `older_than`; how many each batch was.

    Each is committed when it is yielded, so it can be stopped anywhere and repeated, also by two at once.
    `counting`: nothing is redacted, each batch says how many would be. Raises: django.db.OperationalError.
    """
    if not counting:
        run(BEGIN, {})
    newest = run(FIRST_ID_SINCE, {"ago": older_than})[0][0]
    # In this order: what the walk leaves behind just now is not looked at twice.
    for sql in (COUNT_STRAGGLERS, COUNT_WALK) if counting else (CATCH_UP, WALK):
        after: UUID | None = UUID(int=0)
        while after is not None:
            count, after = run(sql, {"older_than": older_than, "newest": newest, "after": after})[0]
            yield count


def of_recipient(recipients: Collection[str], channels: Collection[str] | None = None) -> list[Found]:
    """All that went or is to go to these addresses, as they are stored; oldest first. `channels`: None for any."""
    rows = run(OF_RECIPIENT, {"recipients": list(recipients), "channels": channels and list(channels)})
    return [Found(id_, channel, Status(status), redactable) for id_, channel, status, redactable in rows]


def forget(ids: Collection[UUID]) -> set[UUID]:
    """Redact those of these that are finished and of which no webhook is being told; which that were. Safe to repeat.

    One transaction: at most BATCH.
    """
    with transaction.atomic():
        held = [row[0] for row in run(HOLD, {"ids": list(ids)})]
        return {row[0] for row in run(FORGET, {"ids": held})} if held else set()
