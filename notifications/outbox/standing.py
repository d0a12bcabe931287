"""How lanes stand, for whoever looks at them: what waits in each and what keeps it, those first that want attention."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from notifications.outbox.lanes import CHANNEL_ROW
from notifications.outbox.statement import run
from notifications.outbox.workers import FIRSTS

COUNTED: Final = 10_000  # of each lane; of more it is said that there are more
_COUNTED: Final[LiteralString] = "10001"

# Lanes that hold something pending, have a row of their own, or are among %(known)s: first those that stand still with
# something in them, then all others that stand still, then those whose oldest due one has waited longest. Those alone
# that %(search)s is a part of, and that are %(only)s, which comes first then, or in that channel; "" for all.
# The relay's loose scan finds what holds anything; then a count that ends, of those that are shown.
# Index: notification_ready; lane_state is short. Rows: (lane, waiting, seconds that the oldest due one has waited or
# null, what answer closed it or "", seconds until it is half-open, failures in a row, stopped until or null, by, why,
# whether its whole channel is stopped, seconds until it has a token, lanes in all).
STANDING: Final[LiteralString] = f"""
WITH RECURSIVE {FIRSTS}, holding AS (
    SELECT lane, min(due_at) FILTER (WHERE due_at <= now()) AS due_at FROM waiting GROUP BY lane
), lanes AS (
    SELECT lane, h.lane IS NOT NULL AS holds, h.due_at, coalesce(s.reason, '') AS reason,
           greatest(0, extract(epoch FROM s.paused_until - now()))::float8 AS paused_for,
           coalesce(s.failures, 0) AS failures,
           CASE WHEN s.stopped_until > now() THEN s.stopped_until END AS stopped_until,
           coalesce(s.stopped_by, '') AS stopped_by, coalesce(s.stopped_reason, '') AS stopped_reason,
           greatest(0, extract(epoch FROM s.next_at - now()))::float8 AS next_in,
           {CHANNEL_ROW.replace("{lane}", "lane")} AS channel_row
    FROM holding h FULL JOIN lane_state s USING (lane) FULL JOIN unnest(%(known)s::text[]) AS known (lane) USING (lane)
), every AS (
    SELECT l.*, coalesce(whole.stopped_until > now(), false) AS with_channel,
           l.reason <> '' OR l.stopped_until IS NOT NULL OR coalesce(whole.stopped_until > now(), false) AS kept
    FROM lanes l LEFT JOIN lane_state whole ON whole.lane = l.channel_row AND whole.lane <> l.lane
), chosen AS (
    SELECT *, count(*) OVER () AS total FROM every
    WHERE (%(search)s::text = '' OR strpos(lower(lane), lower(%(search)s::text)) > 0)
      AND (%(only)s::text = '' OR lane = %(only)s::text OR channel_row = %(only)s::text)
    ORDER BY (lane = %(only)s::text) DESC, (kept AND holds) DESC, kept DESC, due_at ASC NULLS LAST, holds DESC, lane
    LIMIT %(most)s::int
)
SELECT c.lane, counted.waiting, extract(epoch FROM now() - c.due_at)::float8, c.reason, c.paused_for, c.failures,
       c.stopped_until, c.stopped_by, c.stopped_reason, c.with_channel, c.next_in, c.total
FROM chosen c CROSS JOIN LATERAL (
    SELECT count(*) AS waiting FROM (
        SELECT 1 FROM notification n WHERE n.status = 'pending' AND n.lane = c.lane
        ORDER BY n.priority, n.client_id, n.due_at, n.id LIMIT {_COUNTED}
    ) AS few
) AS counted
ORDER BY (c.lane = %(only)s::text) DESC, (c.kept AND c.holds) DESC, c.kept DESC, c.due_at ASC NULLS LAST, c.holds DESC,
    c.lane
"""

# When each channel's provider last took something, and last refused something, in the past day; and since when it has
# taken nothing: the first refusal behind the last success. To the minute. Index: primary key.
# Rows: (channel, last sent or null, last refused or null, troubled since or null).
LATELY: Final[LiteralString] = """
WITH past AS MATERIALIZED (
    SELECT channel, minute, kind = 'sent' AS sent FROM tally
    WHERE minute > now() - interval '1 day' AND kind IN ('sent', 'failed', 'retried', 'unknown')
), latest AS (
    SELECT channel, max(minute) FILTER (WHERE sent) AS sent_at, max(minute) FILTER (WHERE NOT sent) AS refused_at
    FROM past GROUP BY channel
)
SELECT l.channel, l.sent_at, l.refused_at, (
    SELECT min(p.minute) FROM past p
    WHERE p.channel = l.channel AND NOT p.sent AND (l.sent_at IS NULL OR p.minute > l.sent_at)
) FROM latest l
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one lane, or of the row of a channel as a whole."""

    lane: str
    waiting: int  # at most COUNTED + 1
    due_for: float | None  # seconds; None: nothing in it is due
    reason: str  # what answer closed it
    paused_for: float | None  # seconds; 0 where there is a reason: half-open
    failures: int
    stopped_until: datetime | None
    stopped_by: str
    stopped_reason: str
    with_channel: bool  # an operator has paused all of its channel
    next_in: float  # seconds until a paced one has a token

    @property
    def kept(self) -> bool:
        """Whether anything keeps it, and resuming would end that."""
        return bool(self.reason) or self.stopped_until is not None


@dataclass(frozen=True, slots=True)
class Lately:
    """Of one channel, in the past day, to the minute."""

    sent_at: datetime | None
    refused_at: datetime | None
    troubled_since: datetime | None


def standing(known: Collection[str], *, search: str = "", only: str = "", most: int) -> tuple[list[Standing], int]:
    """Up to `most` lanes, those first that want attention, and how many there are. Raises: django.db's errors.

    `known`: lanes of this installation, which are told of although nothing is in them.
    """
    rows = run(STANDING, {"known": list(known), "search": search, "only": only, "most": most})
    return [Standing(*row[:-1]) for row in rows], rows[0][-1] if rows else 0


def lately() -> dict[str, Lately]:
    """By channel; a channel that nothing was sent over has none. Raises: django.db's errors."""
    return {channel: Lately(*times) for channel, *times in run(LATELY, {})}
