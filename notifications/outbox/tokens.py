"""How many messages a paced lane may send now, over all workers: a bucket of tokens in its `lane_state`.

The bucket is one time, `next_at`: when the next token is there. Each token that is taken moves it on by the interval,
and it never lies more than a second's worth of tokens behind. They are taken many at a time and what is left is given
back: a row that were updated for each send would keep a version for each while some session holds an old snapshot.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from channels.rate import Rate
from notifications.outbox.statement import run

# Takes up to %(most)s tokens. %(interval)s, %(spare)s: seconds from one to the next, and from the first to the last of
# a full bucket. The row is locked while it is counted: whoever waited for another's take sees what that has left. A
# thousandth of a token more than is there makes up for times being whole microseconds.
# Index: primary key. Rows: (tokens, seconds until the next), none where the lane has no row.
TAKE: Final = """
WITH bucket AS MATERIALIZED (
    SELECT greatest(next_at, now() - %(spare)s::float8 * interval '1 second') AS next_at
    FROM lane_state WHERE lane = %(lane)s FOR UPDATE
), share AS (
    SELECT next_at, CASE WHEN next_at > now() THEN 0 ELSE least(
        %(most)s::int, 1 + floor(extract(epoch FROM now() - next_at)::float8 / %(interval)s::float8 + 0.001)::int
    ) END AS tokens FROM bucket
), taken AS (
    UPDATE lane_state l SET next_at = s.next_at + s.tokens * %(interval)s::float8 * interval '1 second'
    FROM share s WHERE l.lane = %(lane)s AND s.tokens > 0
)
SELECT tokens, greatest(0, extract(epoch FROM next_at - now()))::float8 FROM share
"""

# A full bucket, where there is none yet. Rows: none.
BEGIN: Final = """
INSERT INTO lane_state (lane, paused_until, reason, failures) VALUES (%(lane)s, now(), '', 0)
ON CONFLICT (lane) DO NOTHING
"""

# Gives back %(tokens)s that were not used. Index: primary key. Rows: none.
GIVE_BACK: Final = """
UPDATE lane_state SET next_at = next_at - %(tokens)s::int * %(interval)s::float8 * interval '1 second'
WHERE lane = %(lane)s
"""


class Taken(NamedTuple):
    tokens: int
    next_in: float  # seconds until there is another, where there was none


def take(lane: str, most: int, rate: Rate) -> Taken:
    """Take up to `most` tokens of a lane that sends at this rate. Raises: django.db.OperationalError."""
    parameters = {
        "lane": lane,
        "most": most,
        "interval": rate.interval,
        "spare": (rate.burst - 1) * rate.interval,
    }
    rows = run(TAKE, parameters)
    if not rows:
        run(BEGIN, {"lane": lane})
        rows = run(TAKE, parameters)
    return Taken(*rows[0]) if rows else Taken(0, rate.interval)


def give_back(lane: str, tokens: int, rate: Rate) -> None:
    run(GIVE_BACK, {"lane": lane, "tokens": tokens, "interval": rate.interval})
