"""What is deleted for good: keys past their life, notifications past theirs, and then files that nothing refers to; in
short transactions of their own.

Rows that somebody holds are passed over until the next purge, and only finished notifications are touched: a purge
never stands in the way of a claim. A failed notification can be replayed for as long as it is there: its key goes in
the same statement, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from notifications.outbox.attachments import UNUSED_FOR
from notifications.outbox.listing import UNLIST_GONE
from notifications.outbox.statement import Row, run

BATCH: Final = 500  # notifications in one transaction: row locks for tens of milliseconds, on rows nobody works on
FILES: Final = 50  # in one transaction: of the largest, 250 MB
PAGES: Final = 64  # pages of keys in one transaction: some 1,000 keys

# A record may go when its key's life is over and none of its notifications is open, or failed so lately that it should
# still be possible to replay it: it would be open again, and its key must be known then. A redacted one cannot be.
# A scalar subquery is a look-up by primary key, always; of a join the planner, which supposes that next to nothing is
# open, makes a scan of all notifications.
_RECORD_MAY_GO: Final = """
    r.created_at < now() - %(key_life)s::interval
    AND NOT EXISTS (
        SELECT 1 FROM unnest(r.notification_ids) AS named (id) WHERE (
            SELECT n.status IN ('pending', 'sending', 'unknown')
                   OR (n.status = 'failed' AND n.redacted_at IS NULL
                       AND n.finished_at >= now() - %(retention)s::interval)
            FROM notification n WHERE n.id = named.id
        )
    )
"""

# Which of a record's notifications have failed and can be replayed.
_FAILED: Final = """
    SELECT named.id FROM unnest(r.notification_ids) AS named (id)
    WHERE (SELECT n.status = 'failed' AND n.redacted_at IS NULL FROM notification n WHERE n.id = named.id)
"""

# The size of the table of keys. Rows: (pages).
KEY_PAGES: Final = """
SELECT pg_relation_size('idempotency_record') / current_setting('block_size')::bigint
"""

# Page by page, so that no index by age is needed; records are never updated, so none moves.
_PAGES: Final = "r.ctid >= %(first)s::tid AND r.ctid < %(last)s::tid"

# Records that may go on the pages from %(first)s to before %(last)s.
# Index: none (those pages alone are read), and notification's primary key. Rows: (records).
COUNT_RECORDS: Final = f"SELECT count(*) FROM idempotency_record r WHERE {_PAGES} AND {_RECORD_MAY_GO}"

# Deletes those none of whose notifications has failed, and notes it in the ledger. Indexes and rows: as above.
DELETE_RECORDS: Final = f"""
WITH old AS MATERIALIZED (
    SELECT r.ctid AS place FROM idempotency_record r
    WHERE {_PAGES} AND {_RECORD_MAY_GO} AND NOT EXISTS ({_FAILED})
    FOR UPDATE OF r SKIP LOCKED
), gone AS (
    DELETE FROM idempotency_record r USING old WHERE r.ctid = old.place AND {_PAGES} RETURNING 1
), noted AS (
    INSERT INTO purge_ledger (at, notifications, attempts, records)
    SELECT now(), 0, 0, count(*) FROM gone HAVING count(*) > 0
)
SELECT count(*) FROM gone
"""

# The others that may go on those pages. Indexes: as above. Rows: (place, ids of its failed notifications).
RECORDS_OF_FAILED: Final = f"""
SELECT r.ctid::text, ARRAY({_FAILED}) FROM idempotency_record r WHERE {_PAGES} AND {_RECORD_MAY_GO}
"""

# Notifications before %(newest)s to which a record still refers: another of its notifications is open, or it is younger
# than they are. Few. %(counting)s: a record that may go is taken for gone. Index: none (the keys are read once).
# Rows: (id).
REFERRED: Final = f"""
SELECT DISTINCT named.id FROM idempotency_record r CROSS JOIN LATERAL unnest(r.notification_ids) AS named (id)
WHERE named.id < %(newest)s::uuid AND NOT (%(counting)s AND {_RECORD_MAY_GO})
"""

# Finished longer ago than %(retention)s. Ids are in the order of time and nothing finishes before it is accepted, so
# only those before %(newest)s are looked at. The limit is a literal: for a parameter a generic plan supposes a tenth of
# the table, and reads all attempts. Index: primary key, from %(after)s on.
_OLD_NOTIFICATIONS: Final = f"""
    SELECT id FROM notification
    WHERE id > %(after)s::uuid AND id < %(newest)s::uuid
      AND status IN ('sent', 'delivered', 'failed', 'canceled') AND finished_at < now() - %(retention)s::interval
      AND NOT id = ANY(%(referred)s::uuid[])
    ORDER BY id LIMIT {BATCH}
"""

# Rows: (0 records, notifications, their attempts, last id), one row.
COUNT_NOTIFICATIONS: Final = f"""
WITH old AS MATERIALIZED ({_OLD_NOTIFICATIONS})
SELECT 0, (SELECT count(*) FROM old),
       (SELECT count(*) FROM attempt WHERE notification_id IN (SELECT id FROM old)),
       (SELECT id FROM old ORDER BY id DESC LIMIT 1)
"""

# Deletes the notifications `old` with all that belongs to them, and notes it in the ledger with the records that went.
# Rows: (records, notifications, their attempts, last id), one row.
_AND_ALL_OF_THEIRS: Final = f"""
receipts AS (DELETE FROM receipt WHERE notification_id IN (SELECT id FROM old)),
links AS (DELETE FROM attachment_link WHERE notification_id IN (SELECT id FROM old)),
events AS (DELETE FROM event WHERE notification_id IN (SELECT id FROM old)),
attempts AS (DELETE FROM attempt WHERE notification_id IN (SELECT id FROM old) RETURNING 1),
gone AS (DELETE FROM notification WHERE id IN (SELECT id FROM old) RETURNING id, client_id, lane, metadata),
{UNLIST_GONE},
total AS (
    SELECT (SELECT count(*) FROM records) AS records,
           (SELECT count(*) FROM gone) AS notifications, (SELECT count(*) FROM attempts) AS attempts,
           (SELECT id FROM gone ORDER BY id LIMIT 1) AS first_id,
           (SELECT id FROM gone ORDER BY id DESC LIMIT 1) AS last_id
), noted AS (
    INSERT INTO purge_ledger (at, notifications, attempts, records, first_id, last_id)
    SELECT now(), notifications, attempts, records, first_id, last_id FROM total WHERE notifications + records > 0
)
SELECT records, notifications, attempts, last_id FROM total
"""

# Indexes: primary keys, and those by notification. Rows: as above.
DELETE_NOTIFICATIONS: Final = f"""
WITH old AS MATERIALIZED ({_OLD_NOTIFICATIONS} FOR UPDATE SKIP LOCKED), records AS (SELECT WHERE false),
{_AND_ALL_OF_THEIRS}
"""

# Deletes the records at %(places)s together with their notifications that have failed, %(failed)s. Those are locked
# first: one that is being replayed, or was since this statement began, is not among them, and its record stays with all
# that failed beside it; a replay that comes later waits and finds nothing. A place may hold another record by now.
# Indexes: none (records are read where they are), and as above. Rows: as above.
DELETE_WITH_FAILED: Final = f"""
WITH held AS MATERIALIZED (
    SELECT id FROM notification
    WHERE id = ANY(%(failed)s::uuid[]) AND status || '' = 'failed' AND finished_at < now() - %(retention)s::interval
    FOR UPDATE SKIP LOCKED
), going AS MATERIALIZED (
    SELECT r.ctid AS place, ARRAY({_FAILED}) AS failed FROM idempotency_record r
    WHERE r.ctid = ANY(%(places)s::tid[]) AND {_RECORD_MAY_GO} AND ARRAY({_FAILED}) <@ ARRAY(SELECT id FROM held)
    FOR UPDATE OF r SKIP LOCKED
), records AS (
    DELETE FROM idempotency_record r USING going WHERE r.ctid = going.place AND r.ctid = ANY(%(places)s::tid[])
    RETURNING going.failed
), old AS MATERIALIZED (SELECT id FROM held WHERE id = ANY(ARRAY(SELECT unnest(failed) FROM records))),
{_AND_ALL_OF_THEIRS}
"""

# Files after %(after)s that nothing refers to, and that were not asked for since %(unused)s before now. What is being
# accepted with one at this moment holds it, or has touched it, which is looked at again once it is locked.
# Indexes: primary key of attachment, attachment_link's by digest. Rows: (files, last digest looked at), one row.
_LOOKED_AT: Final = f"""
WITH looked AS MATERIALIZED (
    SELECT digest FROM attachment
    WHERE digest > %(after)s::bytea AND used_at < now() - %(unused)s::interval
    ORDER BY digest LIMIT {FILES}
), old AS MATERIALIZED (
    SELECT a.digest FROM attachment AS a
    WHERE a.digest IN (SELECT digest FROM looked) AND a.used_at < now() - %(unused)s::interval
      AND NOT EXISTS (SELECT 1 FROM attachment_link AS l WHERE l.digest = a.digest)
"""
_LAST_LOOKED_AT: Final = "(SELECT digest FROM looked ORDER BY digest DESC LIMIT 1)"
COUNT_FILES: Final = f"{_LOOKED_AT}) SELECT (SELECT count(*) FROM old), {_LAST_LOOKED_AT}"
DELETE_FILES: Final = f"""{_LOOKED_AT}
    FOR UPDATE OF a SKIP LOCKED
), gone AS (
    DELETE FROM attachment AS a USING old WHERE a.digest = old.digest RETURNING 1
)
SELECT (SELECT count(*) FROM gone), {_LAST_LOOKED_AT}
"""

# How much there was of what in which minute, longer ago than anybody asks. Nothing adds to such minutes any more.
# Index: primary key, from its start. Rows: (1), of each that went.
DELETE_TALLIES: Final = f"""
DELETE FROM tally WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM tally WHERE minute < now() - interval '30 days' ORDER BY minute LIMIT {BATCH}
    FOR UPDATE SKIP LOCKED
))
RETURNING 1
"""

# What operators did and have ended, a year and a month ago: an audit looks back over one year. One that is not at its
# end stays, whatever its age. Index: primary key; the oldest come first, and there are few. Rows: (id).
DELETE_OPERATIONS: Final = f"""
DELETE FROM operation WHERE id = ANY(ARRAY(
    SELECT id FROM operation
    WHERE state IN ('done', 'stopped') AND coalesce(finished_at, at) < now() - interval '400 days'
    ORDER BY id LIMIT {BATCH} FOR UPDATE SKIP LOCKED
))
RETURNING id
"""

# The first id of version 7 of the moment %(ago)s before now. Rows: (id).
FIRST_ID_SINCE: Final = """
SELECT (lpad(to_hex((extract(epoch FROM now() - %(ago)s::interval) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
"""


@dataclass(frozen=True, slots=True)
class Step:
    """What one short transaction deleted, or would delete."""

    records: int = 0
    notifications: int = 0
    attempts: int = 0
    files: int = 0
    keys_read: float = 1.0  # the part of the table of keys that has been read, 0 to 1; notifications come after


def purge(*, key_life: timedelta, retention: timedelta, counting: bool = False) -> Iterator[Step]:
    """Delete keys older than `key_life` and notifications finished longer than `retention` ago; a step at a time.

    Each step is committed when it is yielded, so it can be stopped anywhere and repeated. `counting`: nothing is
    deleted, each step says what would be; of the files, those that nothing refers to as yet.

    Raises: django.db.OperationalError.
    """
    lives = {"key_life": key_life, "retention": retention}
    yield from _records(lives, counting=counting)
    newest = run(FIRST_ID_SINCE, {"ago": retention})[0][0]
    referred = [row[0] for row in run(REFERRED, {**lives, "newest": newest, "counting": counting})]
    sql = COUNT_NOTIFICATIONS if counting else DELETE_NOTIFICATIONS
    after: UUID | None = UUID(int=0)
    while after:
        parameters = {"retention": retention, "newest": newest, "referred": referred, "after": after}
        records, notifications, attempts, after = run(sql, parameters)[0]
        yield Step(records, notifications, attempts)
    yield from _files(counting=counting)
    if not counting:
        yield from _books_of_operating()


def _books_of_operating() -> Iterator[Step]:
    for sql in (DELETE_TALLIES, DELETE_OPERATIONS):
        while run(sql, {}):
            yield Step()  # of no notification: only so that it can be stopped between batches


def _files(*, counting: bool) -> Iterator[Step]:
    sql = COUNT_FILES if counting else DELETE_FILES
    after: bytes | None = b""
    while after is not None:
        files, after = run(sql, {"after": after, "unused": UNUSED_FOR})[0]
        if files:
            yield Step(files=files)


def _records(lives: dict[str, timedelta], *, counting: bool) -> Iterator[Step]:
    pages: int = run(KEY_PAGES, {})[0][0]
    sql = COUNT_RECORDS if counting else DELETE_RECORDS
    for first in range(0, pages, PAGES):
        last = first + PAGES
        place = {**lives, "first": f"({first},0)", "last": f"({last},0)"}
        read = min(1.0, last / pages)
        yield Step(records=run(sql, place)[0][0], keys_read=read)
        if not counting:  # else the failed ones are counted with all other notifications
            for group in _grouped(run(RECORDS_OF_FAILED, place)):
                records, notifications, attempts, _ = run(DELETE_WITH_FAILED, {**lives, **group})[0]
                yield Step(records, notifications, attempts, keys_read=read)


def _grouped(rows: Iterable[Row]) -> Iterator[dict[str, list[Any]]]:
    """What one transaction may delete: a batch of failed notifications, or all of one record, with their records."""
    places: list[str] = []
    failed: list[UUID] = []
    for place, ids in rows:
        if places and len(failed) + len(ids) > BATCH:
            yield {"places": places, "failed": failed}
            places, failed = [], []
        places.append(place)
        failed += ids
    if places:
        yield {"places": places, "failed": failed}
