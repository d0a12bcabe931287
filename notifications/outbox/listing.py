"""What clients' pages are walked by: rows that are written once, with their notification, and deleted with it.

The hot table has no index for this: each would be written three times in a notification's life, and not once.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, LiteralString
from uuid import UUID

from channels.registry import MARK
from notifications.outbox.statement import run

# The channel of what clients' receivers are told: not among what they posted.
WEBHOOKS: Final[LiteralString] = "webhook"

# Notifications that a page looks at in search of those that are wanted: what is rare among many comes on several
# pages, some with less than was asked for, and each takes the same few milliseconds whatever the table has grown to.
LOOK: Final = 5_000
LOOK_IN_NEED: Final = 1_000  # of each channel's failed and unknown ones, which are every client's
# A notification's id says when it was accepted to the millisecond, by the clock that `created_at` has more of.
_SLACK: Final = timedelta(seconds=1)
_LAST: Final = UUID(int=2**128 - 1)

# In whose list a notification is, as `modes.owner`: a page of a client's tests never walks past its live ones, nor the
# other way round. Everything below that is called `client_id` or `client` in a list is this.
OWNER: Final = f"CASE WHEN starts_with({{row}}.lane, '{MARK}') THEN -{{row}}.client_id ELSE {{row}}.client_id END"

# Hashes, with the owner's id as their seed: they take a quarter of the room, and hold nobody's address.
RECIPIENT: Final = "hashtextextended({recipient}, {client})"
CORRELATION: Final = "hashtextextended({correlation_id}, {client})"
LABEL: Final = "hashtextextended({key} || '=' || {value}, {client})"

# Lists the notifications of `stored`, in the statement that stores them. One CTE.
LIST_STORED: Final = f"""listed AS (
    INSERT INTO listing (client_id, id, recipient, correlation)
    SELECT owner, id, {RECIPIENT.format(recipient="recipient", client="owner")},
           {CORRELATION.format(correlation_id="correlation_id", client="owner")}
    FROM (SELECT s.*, {OWNER.format(row="s")} AS owner FROM stored AS s) AS owned
)"""

# The same, and by their metadata, which most have none of. Two keys may have one hash. Two CTEs.
LIST_AND_LABEL_STORED: Final = f"""{LIST_STORED}, labeled AS (
    INSERT INTO label (term, id)
    SELECT {LABEL.format(key="l.key", value="l.value", client=OWNER.format(row="s"))}, s.id
    FROM stored AS s CROSS JOIN LATERAL jsonb_each_text(s.metadata) AS l WHERE s.metadata <> '{{}}'
    ON CONFLICT DO NOTHING
)"""

# Takes from the lists what `gone` says was deleted, in the statement that deletes it. Two CTEs. Indexes: primary keys.
UNLIST_GONE: Final = f"""unlisted AS (
    DELETE FROM listing AS l USING gone AS g WHERE l.client_id = {OWNER.format(row="g")} AND l.id = g.id
), unlabeled AS (
    DELETE FROM label AS l USING (
        SELECT g.id, {LABEL.format(key="m.key", value="m.value", client=OWNER.format(row="g"))} AS term
        FROM gone AS g CROSS JOIN LATERAL jsonb_each_text(g.metadata) AS m
    ) AS g WHERE l.term = g.term AND l.id = g.id
)"""

# Lists notifications that are in no list, as those of before there were any. Index: primary keys. Rows: none.
LIST: Final = f"""
WITH stored AS (
    SELECT n.* FROM notification AS n WHERE n.id = ANY(%(ids)s::uuid[])
      AND NOT EXISTS (SELECT 1 FROM listing AS l WHERE l.client_id = {OWNER.format(row="n")} AND l.id = n.id)
), {LIST_AND_LABEL_STORED}
SELECT 1
"""

_BETWEEN: Final = "id < %(before)s::uuid AND id >= %(first)s::uuid"
_NEEDY: Final = "'failed', 'unknown'"

# Ways through a client's notifications, newest first: each is a range of one index, in its order.
_BY_CLIENT: Final = f"SELECT id FROM listing WHERE client_id = %(client)s::bigint AND {_BETWEEN} ORDER BY id DESC"
_BY_RECIPIENT: Final = f"""
    SELECT id FROM listing
    WHERE recipient = {RECIPIENT.format(recipient="%(recipient)s::text", client="%(client)s::bigint")} AND {_BETWEEN}
    ORDER BY recipient DESC, id DESC"""
_BY_CORRELATION: Final = f"""
    SELECT id FROM listing
    WHERE correlation = {CORRELATION.format(correlation_id="%(correlation_id)s::text", client="%(client)s::bigint")}
      AND {_BETWEEN}
    ORDER BY correlation DESC, id DESC"""
_BY_LABEL: Final = f"""
    SELECT id FROM label
    WHERE term = {LABEL.format(key="%(key)s::text", value="%(value)s::text", client="%(client)s::bigint")}
      AND {_BETWEEN}
    ORDER BY term DESC, id DESC"""
# By the attention index.
_IN_NEED: Final = f"""
    SELECT each.id FROM unnest(%(channels)s::text[]) AS c (channel) CROSS JOIN LATERAL (
        SELECT id FROM notification
        WHERE channel = c.channel AND status IN ({_NEEDY}) AND {_BETWEEN} ORDER BY id DESC LIMIT {LOOK_IN_NEED}
    ) AS each ORDER BY each.id DESC"""


def _page(way: LiteralString, look: int = LOOK) -> LiteralString:
    """A page along this way.

    Rows: (id, true) of the page, one more than asked for where there is one; else, where the way goes on, (the last id
    looked at, false).
    """
    return f"""
WITH page AS MATERIALIZED (
    SELECT w.id FROM ({way} LIMIT {look}) AS w CROSS JOIN LATERAL (
        SELECT 1 FROM notification AS n
        WHERE n.id = w.id AND {OWNER.format(row="n")} = %(client)s::bigint
          AND (%(statuses)s::text[] IS NULL OR n.status || '' = ANY(%(statuses)s::text[]))
          AND CASE WHEN %(channel)s::text IS NULL THEN n.channel <> '{WEBHOOKS}' ELSE n.channel = %(channel)s::text END
          AND (%(recipient)s::text IS NULL OR n.recipient = %(recipient)s::text)
          AND (%(correlation_id)s::text IS NULL OR n.correlation_id = %(correlation_id)s::text)
          AND (%(since)s::timestamptz IS NULL OR n.created_at >= %(since)s::timestamptz)
          AND (%(until)s::timestamptz IS NULL OR n.created_at < %(until)s::timestamptz)
          AND NOT EXISTS (
              SELECT 1 FROM jsonb_each_text(%(metadata)s::jsonb) AS asked
              WHERE n.metadata ->> asked.key IS DISTINCT FROM asked.value
          )
        OFFSET 0
    ) AS wanted ORDER BY w.id DESC LIMIT %(limit)s::int + 1
)
SELECT id, true FROM page
UNION ALL
SELECT id, false FROM ({way} OFFSET {look - 1} LIMIT 1) AS rest
WHERE (SELECT count(*) FROM page) <= %(limit)s::int
"""


BY_CLIENT: Final = _page(_BY_CLIENT)
BY_RECIPIENT: Final = _page(_BY_RECIPIENT)
BY_CORRELATION: Final = _page(_BY_CORRELATION)
BY_LABEL: Final = _page(_BY_LABEL)
IN_NEED: Final = _page(_IN_NEED, LOOK_IN_NEED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Of a client's notifications those for which all of this holds; what is None or empty narrows nothing."""

    statuses: frozenset[str] = frozenset()
    channel: str | None = None
    recipient: str | None = None  # as it is stored, and shown
    correlation_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)  # a number as it is written in JSON
    since: datetime | None = None  # accepted at or after; aware
    until: datetime | None = None  # accepted before; aware


def page(
    owner: int, wanted: Wanted, *, before: UUID | None, limit: int, channels: Collection[str]
) -> tuple[list[UUID], UUID | None]:
    """Ids of a page, newest first, and the id where the next one begins (None: nothing is behind it).

    `before`: where the previous page ended. `channels`: all that there are. At most LOOK notifications are looked at,
    so a page may hold less than `limit`, or nothing, and not be the last.
    """
    rows = run(way(wanted), parameters(owner, wanted, before=before, limit=limit, channels=channels))
    found = [id_ for id_, of_page in rows if of_page]
    if len(found) > limit:
        return found[:limit], found[limit - 1]
    return found, next((id_ for id_, of_page in rows if not of_page), None)


def way(wanted: Wanted) -> LiteralString:
    """The statement that leads past the fewest others."""
    if wanted.correlation_id is not None:
        return BY_CORRELATION
    if wanted.metadata:
        return BY_LABEL
    if wanted.statuses and wanted.statuses <= {"failed", "unknown"}:
        return IN_NEED
    return BY_CLIENT if wanted.recipient is None else BY_RECIPIENT


def parameters(
    owner: int, wanted: Wanted, *, before: UUID | None, limit: int, channels: Collection[str]
) -> dict[str, object]:
    """Of `way`."""
    key, value = next(iter(wanted.metadata.items()), ("", ""))
    first, last = ids_between(wanted.since, wanted.until)
    return {
        "client": owner,
        "statuses": sorted(wanted.statuses) or None,
        "channel": wanted.channel,
        "channels": sorted(set(channels) - {WEBHOOKS}) if wanted.channel is None else [wanted.channel],
        "recipient": wanted.recipient,
        "correlation_id": wanted.correlation_id,
        "metadata": json.dumps(dict(wanted.metadata)),
        "key": key,
        "value": value,
        "since": wanted.since,
        "until": wanted.until,
        "first": first,
        "before": min(before or _LAST, last),
        "limit": limit,
    }


def list_(ids: Collection[UUID]) -> None:
    """List notifications that were stored otherwise than by the service. Safe to repeat."""
    run(LIST, {"ids": list(ids)})


def ids_between(since: datetime | None, until: datetime | None) -> tuple[UUID, UUID]:
    """Between which all ids lie of what was accepted since (aware) and before `until` (aware); None: no bound.

    Raises: OverflowError where there is no such time.
    """
    first = UUID(int=0) if since is None else first_id(since - _SLACK)
    return first, _LAST if until is None else first_id(until + _SLACK)


def first_id(moment: datetime) -> UUID:
    """The lowest id of version 7 that can have been made at `moment` (aware)."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)
