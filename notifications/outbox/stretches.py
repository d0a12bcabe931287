"""Who has something pending, without walking over what anybody has: the ready index, client by client."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, LiteralString, NamedTuple
from uuid import UUID

from notifications.outbox.statement import array
from notifications.states import Priority

# What is written into a statement to be given stretches: unnest(ARRAYS) AS s (COLUMNS).
ARRAYS: Final[LiteralString] = """
        %(priorities)s::text::smallint[], %(lows)s::text::bigint[], %(highs)s::text::bigint[],
        %(sinces)s::text::timestamptz[], %(reached_dues)s::text::timestamptz[], %(reached_ids)s::text::uuid[]"""
COLUMNS: Final[LiteralString] = "priority, low, high, since, reached_due, reached_id"

_NEXT: Final[LiteralString] = """
        SELECT n.client_id, n.due_at FROM notification n
        WHERE n.status = 'pending' AND n.lane = {lane} AND n.priority = s.priority
          AND n.client_id > {low} AND n.client_id < s.high AND n.due_at >= s.since
        ORDER BY n.client_id, n.due_at, n.id LIMIT 1
"""

# Who has something pending in the stretch `s`, and when the first of it is due. From one client the index is descended
# to the next, however much lies between; up to `since` nothing is looked at (from Postgres 18 on, which skips it).
# The client at the end comes last. Index: notification_ready. Rows: (client_id, due_at, known).
WAITING: Final[LiteralString] = f"""
    WITH RECURSIVE walk AS (
        ({_NEXT.replace("{low}", "s.low")})
        UNION ALL
        SELECT next.* FROM walk CROSS JOIN LATERAL ({_NEXT.replace("{low}", "walk.client_id")}) AS next
    )
    SELECT client_id, due_at, false AS known FROM walk
    UNION ALL
    (SELECT n.client_id, n.due_at, true FROM notification n
     WHERE n.status = 'pending' AND n.lane = {{lane}} AND n.priority = s.priority AND n.client_id = s.high
       AND (n.due_at, n.id) >= (s.reached_due, s.reached_id)
     ORDER BY n.due_at, n.id LIMIT 1)
"""


class Position(NamedTuple):
    """A place in the ready index, within one lane, priority and client."""

    due_at: datetime
    id: UUID


class Stretch(NamedTuple):
    """Clients whose ids lie between two others', and the one at the end, if it is known up to where it was claimed."""

    priority: int
    low: int  # both exclusive
    high: int
    since: datetime  # of those between, what is due before it was claimed
    reached: Position | None  # of `high`


START: Final = Position(datetime(1970, 1, 1, tzinfo=UTC), UUID(int=0))  # before anything that was ever accepted
FIRST: Final = -1  # before every client's id
LAST: Final = 2**63 - 1  # behind them
EVERYWHERE: Final = tuple(Stretch(priority, FIRST, LAST, START.due_at, None) for priority in Priority)


def as_parameters(stretches: Sequence[Stretch]) -> dict[str, object]:
    return {
        "priorities": array(s.priority for s in stretches),
        "lows": array(s.low for s in stretches),
        "highs": array(s.high for s in stretches),
        "sinces": array(s.since for s in stretches),
        "reached_dues": array(s.reached.due_at if s.reached else "NULL" for s in stretches),
        "reached_ids": array(s.reached.id if s.reached else "NULL" for s in stretches),
    }
