"""Which worker does a chore: one at a time over all of them, by the database's clock and its lease."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Final
from uuid import UUID

from notifications.outbox.statement import run

# Takes %(name)s for %(worker)s, which has its lease: where nobody has it and it last ended longer than %(every)s ago,
# or where whoever has it lost its lease. One that nobody has heard of is due an interval from now: a service that has
# just begun has nothing old, and one whose workers all start at once has other things to do.
# A conflict alone would wait for whoever is writing to the row. A worker that came after this statement's snapshot
# looks like one without a lease, but for when it took the chore.
# Index: primary key. Rows: (what was done so far, as JSON), or none.
TAKE: Final = """
WITH known AS (
    INSERT INTO chore (name) SELECT %(name)s WHERE NOT EXISTS (SELECT 1 FROM chore k WHERE k.name = %(name)s)
    ON CONFLICT DO NOTHING
),
free AS (
    SELECT c.name FROM chore c
    WHERE c.name = %(name)s AND EXISTS (SELECT 1 FROM worker w WHERE w.id = %(worker)s)
      AND CASE WHEN c.taken_by IS NULL THEN c.last_at < now() - %(every)s::interval
          ELSE c.taken_by = %(worker)s
               OR c.taken_at < now() AND NOT EXISTS (SELECT 1 FROM worker w WHERE w.id = c.taken_by) END
    FOR UPDATE OF c SKIP LOCKED
)
UPDATE chore c SET taken_by = %(worker)s, taken_at = now() FROM free WHERE c.name = free.name RETURNING c.done::text
"""

# Whether %(worker)s has it still, asked before each step. Indexes: primary keys. Rows: (1), or none.
HOLD: Final = """
SELECT 1 FROM chore c JOIN worker w ON w.id = c.taken_by WHERE c.name = %(name)s AND c.taken_by = %(worker)s
"""

# The same, and writes down what was done so far. Indexes and rows: as above.
KEEP: Final = """
UPDATE chore c SET done = %(done)s::jsonb
WHERE c.name = %(name)s AND c.taken_by = %(worker)s AND EXISTS (SELECT 1 FROM worker w WHERE w.id = c.taken_by)
RETURNING 1
"""

# It is done, or has failed: due again an interval from now. Index: primary key. Rows: (1), or none if another has it.
END: Final = """
UPDATE chore c
SET taken_by = NULL, taken_at = NULL, done = '{}', last_at = now(), last_result = %(result)s,
    last_by = coalesce((SELECT w.host || ':' || w.pid FROM worker w WHERE w.id = c.taken_by), '')
WHERE c.name = %(name)s AND c.taken_by = %(worker)s
RETURNING 1
"""

# Lays it down in the middle: it stays due, and goes to the first that looks. Index: primary key. Rows: none.
LAY_DOWN: Final = """
UPDATE chore SET taken_by = NULL, taken_at = NULL WHERE name = %(name)s AND taken_by = %(worker)s
"""


def take(name: str, *, worker: UUID, every: timedelta) -> dict[str, int] | None:
    """What was done of it so far, if it is this worker's now; None where it is not due, or another's."""
    rows = run(TAKE, {"name": name, "worker": worker, "every": every})
    return json.loads(rows[0][0]) if rows else None


def hold(name: str, *, worker: UUID, done: Mapping[str, int] | None = None) -> bool:
    """Whether it is this worker's still. `done`: what to write down, where that has changed."""
    if done is None:
        return bool(run(HOLD, {"name": name, "worker": worker}))
    return bool(run(KEEP, {"name": name, "worker": worker, "done": json.dumps(done)}))


def end(name: str, *, worker: UUID, result: str) -> bool:
    """`result`: a sentence. False where it is another's by now, who says what came of it."""
    return bool(run(END, {"name": name, "worker": worker, "result": result}))


def lay_down(name: str, *, worker: UUID) -> None:
    run(LAY_DOWN, {"name": name, "worker": worker})
