"""Where a notification is that somebody knows one thing of: its recipient, its correlation id or its key, whole.

Over all clients, which the lists keep apart: one look into an index for each, and none at the hot table.
"""

from __future__ import annotations

from typing import Final, LiteralString
from uuid import UUID

from notifications.outbox.statement import run

FOUND: Final = 1_000  # at most: more of one recipient's are for the filters

_OWNERS: Final[LiteralString] = "(SELECT id AS owner FROM client UNION ALL SELECT -id FROM client) AS o"

# Of one recipient or correlation id, newest first. Indexes: listing_recipient, listing_correlation; the hashes may be
# those of others, too, so that the rows are compared by whoever reads them. Rows: (id).
LISTED: Final[LiteralString] = f"""
SELECT found.id FROM {_OWNERS} CROSS JOIN LATERAL (
    (SELECT id FROM listing WHERE recipient = hashtextextended(%(term)s::text, o.owner)
     ORDER BY recipient DESC, id DESC LIMIT {FOUND})
    UNION ALL
    (SELECT id FROM listing WHERE correlation = hashtextextended(%(term)s::text, o.owner)
     ORDER BY correlation DESC, id DESC LIMIT {FOUND})
) AS found ORDER BY found.id DESC LIMIT {FOUND}
"""

# By its key, which is unique for each client and way of asking: these are few, and found by leaping over the records
# of each. Index: the primary key. Rows: (id).
KEYED: Final[LiteralString] = f"""
WITH RECURSIVE way (client_id, operation) AS (
    (SELECT client_id, operation FROM idempotency_record ORDER BY client_id, operation LIMIT 1)
    UNION ALL
    SELECT after.client_id, after.operation FROM way CROSS JOIN LATERAL (
        SELECT client_id, operation FROM idempotency_record AS r
        WHERE (r.client_id, r.operation) > (way.client_id, way.operation) ORDER BY client_id, operation LIMIT 1
    ) AS after
)
SELECT unnest(record.notification_ids) FROM (SELECT * FROM way LIMIT {FOUND}) AS way CROSS JOIN LATERAL (
    SELECT notification_ids FROM idempotency_record AS r
    WHERE r.client_id = way.client_id AND r.operation = way.operation AND r.key = %(term)s::text
) AS record LIMIT {FOUND}
"""


def listed(term: str) -> list[UUID]:
    return [id_ for (id_,) in run(LISTED, {"term": term})]


def keyed(term: str) -> list[UUID]:
    return [id_ for (id_,) in run(KEYED, {"term": term})]
