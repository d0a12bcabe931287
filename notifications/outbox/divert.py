"""pending → pending, by another backend: what waits for one that refuses us goes on by one that does not."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, LiteralString, NamedTuple
from uuid import UUID

from notifications.outbox.statement import run
from notifications.outbox.stretches import ARRAYS, COLUMNS, EVERYWHERE, WAITING, as_parameters

AT_ONCE: Final = 200  # with their messages in memory, which may be a quarter of a megabyte each

# Whether a lane's state, `s`, is a pause by what its provider answered. Such have failures in a row; a rate limit has
# none: the provider asked for patience and gets it.
# Where an operator has stopped it as well, nothing moves.
STOPPED: Final[LiteralString] = "s.paused_until > now() AND s.failures > 0 AND coalesce(s.stopped_until <= now(), true)"

# Whether a lane's state, `o`, keeps it from being sent to: closed, half-open or stopped.
CLOSED: Final[LiteralString] = "(o.reason <> '' OR coalesce(o.stopped_until > now(), false))"

UNDER_KEY: Final[LiteralString] = "%(hold)s::bool AND n.deduplicated_until IS NOT NULL"

# The names of what a notification, `n`, has beyond its text, as notifications/content.py has them: not all of it, which
# may be more than its text. What is not ours has none, and its own send says so.
CONTENT: Final[LiteralString] = """
    ARRAY(SELECT jsonb_path_query(n.content, '$.fields.keyvalue().key', silent => true) #>> '{}')
    || CASE WHEN n.content @? '$.files[*]' THEN ARRAY['attachments'] ELSE '{}' END
"""

# Due notifications of such a lane, but for %(staying)s: of each priority and client its oldest. %(hold)s: the channel's
# policy, by which what may have been sent under the backend's key stays with it. Index: notification_ready.
# Rows: as Waiting, AT_ONCE at most.
FIND: Final = f"""
SELECT own.id, own.recipient, own.subject, own.body, own.content
FROM unnest({ARRAYS}) AS s ({COLUMNS})
CROSS JOIN LATERAL ({WAITING.replace("{lane}", "%(lane)s")}) AS w
CROSS JOIN LATERAL (
    SELECT n.id, n.recipient, n.subject, n.body, {CONTENT} AS content FROM notification n
    WHERE n.lane = %(lane)s AND n.priority = s.priority AND n.client_id = w.client_id AND n.status = 'pending'
      AND n.due_at <= now() AND n.id <> ALL (%(staying)s::uuid[]) AND NOT ({UNDER_KEY})
    ORDER BY n.due_at, n.id LIMIT {AT_ONCE}
) AS own
WHERE w.due_at <= now() AND EXISTS (SELECT 1 FROM lane_state s WHERE s.lane = %(lane)s AND {STOPPED})
LIMIT {AT_ONCE}
"""

# Gives %(ids)s to the lanes %(lanes)s, beside them, as far as those are open and their own still is not; in id order,
# passing over what somebody holds. The lane behind whose cursors they come begins with what is due now. %(hold)s: the
# channel's policy. What may have been sent under the key of the backend that it leaves is held there, or marked.
# Indexes: primary keys. Rows: (id, lane) of those that were.
DIVERT: Final = f"""
WITH chosen AS MATERIALIZED (
    SELECT n.id, n.lane AS left_lane, t.lane, s.reason
    FROM unnest(%(ids)s::uuid[], %(lanes)s::text[]) AS t (id, lane)
    JOIN notification n ON n.id = t.id
    JOIN lane_state s ON s.lane = n.lane
    WHERE n.lane = %(lane)s AND n.status || '' = 'pending' AND n.due_at <= now() AND {STOPPED}
      AND NOT EXISTS (SELECT 1 FROM lane_state o WHERE o.lane = t.lane AND {CLOSED})
      AND NOT ({UNDER_KEY})
    ORDER BY n.id FOR UPDATE OF n SKIP LOCKED
), diverted AS (
    UPDATE notification n
    SET lane = c.lane, due_at = now(), deduplicated_until = NULL,
        possible_duplicate = n.possible_duplicate OR n.deduplicated_until IS NOT NULL
    FROM chosen c WHERE n.id = c.id
    RETURNING n.id, n.lane
), reported AS (
    INSERT INTO event (notification_id, at, kind, actor, detail)
    SELECT id, now(), 'diverted', 'relay', left_lane || ' to ' || lane || ', because of ' || reason
    FROM diverted JOIN chosen USING (id, lane)
)
SELECT id, lane FROM diverted
"""

# Which of %(lanes)s stand still, for whatever reason. Index: primary key. Rows: (lane).
PAUSED: Final = f"SELECT o.lane FROM lane_state o WHERE o.lane = ANY(%(lanes)s::text[]) AND {CLOSED}"


class Waiting(NamedTuple):
    """A notification as far as another backend must know it to say whether it takes it."""

    id: UUID
    recipient: str
    subject: str
    body: str
    content: Sequence[str] = ()  # the names of what it has beyond its text


def find(lane: str, *, hold_unknown: bool, staying: Collection[UUID] = ()) -> list[Waiting]:
    """What is due in a lane that stands paused by what its provider answered; nothing where it does not.

    `staying`: those that are known to have nowhere to go.
    """
    given: dict[str, object] = {"lane": lane, "hold": hold_unknown, "staying": list(staying)}
    return [Waiting(*row) for row in run(FIND, given | as_parameters(EVERYWHERE))]


def paused(lanes: Collection[str]) -> set[str]:
    """Those of these lanes that stand still."""
    return {lane for (lane,) in run(PAUSED, {"lanes": list(lanes)})}


def divert(lane: str, to: Mapping[UUID, str], *, hold_unknown: bool) -> dict[UUID, str]:
    """Give what is due in a lane to others, by id: id → lane of those that were. Safe to repeat."""
    given = {"lane": lane, "ids": list(to), "lanes": list(to.values()), "hold": hold_unknown}
    return dict(run(DIVERT, given))
