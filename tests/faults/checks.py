"""What must hold whatever broke. The witnesses are the clients' own log and the journal of the provider stand-in.

    found = check(acknowledged, database=dsn, journal=path)     # raises AssertionError, naming what broke
    found.doubled                                               # marked ones are allowed, and counted

It needs nothing but psycopg, a DSN and the sandbox's journal, so that any suite can end with it. Every text that is
posted must be unique to its key: by it a message at the provider is known for the notification it was.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import psycopg

SHOWN: Final = 10  # examples of what broke
UNSETTLED: Final = frozenset({"pending", "sending"})
# Nobody claims that these were sent; the others say so themselves.
SAID_TO_BE_SENT: Final = frozenset({"sent", "delivered"})


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What a client was answered 202 for."""

    id: UUID
    channel: str
    text: str
    key: str


@dataclass(frozen=True, slots=True)
class Findings:
    acknowledged: int  # notifications
    received: int  # messages, duplicates among them
    statuses: Mapping[str, int]  # of the acknowledged ones
    doubled: Mapping[UUID, int]  # notifications that the provider received more than once, and how often
    unmarked: Collection[UUID]  # of these, ones whose attempts do not say so
    lost: Collection[UUID]  # acknowledged, and not there
    broken: Collection[str]  # a sentence for each promise that did not hold


@dataclass(frozen=True, slots=True)
class _Row:
    id: UUID
    channel: str
    text: str
    status: str
    marked: int  # attempts that are marked as possible duplicates


def check(
    acknowledged: Iterable[Acknowledged],
    *,
    database: str,
    journal: Path,
    settled: bool = True,
    excused: Collection[str] = (),
) -> Findings:
    """Assert the promises.

    `settled`: nothing may be pending or sending any more. `excused`: statuses in which the provider need not have
    received a notification, such as `unknown` under the policy `hold`; `sent` and `delivered` are never excused.
    """
    found = examine(acknowledged, database=database, journal=journal, settled=settled, excused=excused)
    assert not found.broken, "\n".join(["promises broken:", *found.broken])
    return found


def examine(
    acknowledged: Iterable[Acknowledged],
    *,
    database: str,
    journal: Path,
    settled: bool = True,
    excused: Collection[str] = (),
) -> Findings:
    """The same without asserting: for campaigns, which count."""
    # The journal first: what is received after that is in none of our books, and what was received is in all.
    received = _received(journal)
    told = list(acknowledged)
    ids = {each.id: each for each in told}
    rows = _rows(database)
    here = {row.id: row for row in rows}
    there = [row for row in rows if row.id in ids]
    lost = [id_ for id_ in ids if id_ not in here]
    doubled = {row.id: received[row.channel, row.text] for row in rows if received[row.channel, row.text] > 1}
    # Every send but the first is one that may double: as many attempts must say so.
    unmarked = [id_ for id_, times in doubled.items() if here[id_].marked < times - 1]
    unseen = [row for row in there if not received[row.channel, row.text]]
    known = {(row.channel, row.text) for row in rows}
    broken: dict[str, Collection[object]] = {
        "answered with 202 and not there": lost,
        "there, but not as they were posted": [row.id for row in there if row.text != ids[row.id].text],
        "still open when all was said to be settled": [r.id for r in there if settled and r.status in UNSETTLED],
        "keys answered with several notifications": _more_than_one((each.key, each.id) for each in told),
        "texts stored more than once": _more_than_one(((row.channel, row.text), row.id) for row in rows),
        "said to be sent, and never received": [row.id for row in unseen if row.status in SAID_TO_BE_SENT],
        "never received": [row.id for row in unseen if row.status not in {*excused, *SAID_TO_BE_SENT}],
        "received more often than their attempts admit": unmarked,
        "received, but of no notification": [text for text in received if text not in known],
    }
    return Findings(
        acknowledged=len(ids),
        received=received.total(),
        statuses=Counter(row.status for row in there),
        doubled=doubled,
        unmarked=unmarked,
        lost=lost,
        broken=[_sentence(what, which) for what, which in broken.items() if which],
    )


def _received(journal: Path) -> Counter[tuple[str, str]]:
    """How often each (channel, text) was received."""
    if not journal.exists():
        return Counter()
    with journal.open(encoding="utf-8") as lines:
        messages = (json.loads(line) for line in lines if line.endswith("\n"))
        return Counter((message["channel"], message["body"]) for message in messages)


def _rows(database: str) -> list[_Row]:
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            """SELECT n.id, n.channel, n.body, n.status,
                      (SELECT count(*) FROM attempt a WHERE a.notification_id = n.id AND a.possible_duplicate)
               FROM notification n"""
        ).fetchall()
    return [_Row(*row) for row in rows]


def _more_than_one(pairs: Iterable[tuple[object, UUID]]) -> list[object]:
    """The keys that stand beside several ids."""
    ids: dict[object, set[UUID]] = defaultdict(set)
    for key, id_ in pairs:
        ids[key].add(id_)
    return [key for key, found in ids.items() if len(found) > 1]


def _sentence(what: str, which: Collection[object]) -> str:
    shown = ", ".join(map(str, list(which)[:SHOWN]))
    return f"{len(which)} {what}: {shown}{', …' if len(which) > SHOWN else ''}"
