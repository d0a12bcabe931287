"""How much there was of what in which minute: added to by every process, and the samples of what waits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Final

from notifications.outbox.gauges import WAITING_LANES
from notifications.outbox.lanes import CHANNEL_ROW
from notifications.outbox.statement import run

Key = tuple[int, str, str, str]  # minutes since 1970 in UTC, channel, kind, code

# Adds up. In the order of the key, so that two that add to the same rows never wait for each other in a circle.
# Index: primary key. Rows: none.
ADD: Final = """
INSERT INTO tally AS t (minute, channel, kind, code, count)
SELECT minute, channel, kind, code, count
FROM unnest(
    %(minutes)s::timestamptz[], %(channels)s::text[], %(kinds)s::text[], %(codes)s::text[], %(counts)s::bigint[]
) AS a (minute, channel, kind, code, count)
ORDER BY minute, channel, kind, code
ON CONFLICT (minute, channel, kind, code) DO UPDATE SET count = t.count + excluded.count
"""

# What waits in each channel now, and the seconds that the oldest due one has waited; nothing where this minute has its
# sample. The scan is bounded as that of the gauges. Channels where nothing waits say so, too: %(channels)s are all.
# Indexes: primary key, notification_ready. Rows: (1) for each row written.
SAMPLE: Final = f"""
WITH RECURSIVE {WAITING_LANES}, sampled AS (
    SELECT {CHANNEL_ROW.replace("{lane}", "lane")} AS channel, sum(waiting)::bigint AS waiting,
           coalesce(max(oldest), 0)::bigint AS oldest
    FROM waiting_lane GROUP BY 1
), known AS (
    SELECT channel, coalesce(s.waiting, 0) AS waiting, coalesce(s.oldest, 0) AS oldest
    FROM unnest(%(channels)s::text[]) AS k (channel) FULL JOIN sampled s USING (channel)
)
INSERT INTO tally (minute, channel, kind, code, count)
SELECT date_trunc('minute', now()), channel, kind, '', CASE kind WHEN 'waiting' THEN waiting ELSE oldest END
FROM known CROSS JOIN unnest(ARRAY['oldest', 'waiting']) AS kind
WHERE (SELECT NOT EXISTS (
    SELECT 1 FROM tally WHERE minute = date_trunc('minute', now()) AND kind IN ('waiting', 'oldest')
))
ORDER BY channel, kind
ON CONFLICT (minute, channel, kind, code) DO NOTHING
RETURNING 1
"""


def add(counts: Mapping[Key, int]) -> None:
    """Add to what is there. Not safe to repeat where it is not known whether it was written."""
    keys = sorted(counts)
    run(
        ADD,
        {
            "minutes": [datetime.fromtimestamp(60 * minute, UTC) for minute, _, _, _ in keys],
            "channels": [channel for _, channel, _, _ in keys],
            "kinds": [kind for _, _, kind, _ in keys],
            "codes": [code for _, _, _, code in keys],
            "counts": [counts[key] for key in keys],
        },
    )


def sample(channels: Collection[str]) -> bool:
    """Take this minute's sample, if nobody has; whether this was the first."""
    return bool(run(SAMPLE, {"channels": list(channels)}))
