"""Fences and locks, each removed on purpose: what the model must find.

A mutant replaces clauses of one statement. Not here is what nothing could find, because another fence stands behind it:
the worker's id in the record (each attempt's number is given to one worker alone), and the one of a status of which a
CHECK constraint refuses the broken row.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Final

import pytest

from notifications.outbox import claim, operate, purge, receipts, record, recover


@dataclass(frozen=True, slots=True)
class Mutant:
    module: ModuleType
    statement: str  # the constant's name
    clauses: dict[str, str]  # what is there, and what is put in its place

    def live(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Raises: AssertionError where a clause is not in the statement, and nothing would be broken."""
        sql: str = getattr(self.module, self.statement)
        for clause, instead in self.clauses.items():
            assert clause in sql, f"{clause!r} is not in {self.statement}"
            sql = sql.replace(clause, instead)
        monkeypatch.setattr(self.module, self.statement, sql)


NO_CLAIM: Final = "worker_id = NULL, claimed_at = NULL, started_at = NULL"
NO_LOCK: Final = {"FOR UPDATE SKIP LOCKED": ""}
AT_SENDING: Final = "(n.status || '' = 'sending' AND n.worker_id = r.worker)"
AT_UNKNOWN: Final = "(n.status || '' = 'unknown' AND r.outcome = 'accepted')"

MUTANTS: Final = {
    # claim
    "a claim that takes without a lock": Mutant(claim, "CLAIM", NO_LOCK),
    "a claim that waits for locks": Mutant(claim, "CLAIM", {"SKIP LOCKED": ""}),
    "a claim that does not raise the attempt": Mutant(
        claim, "CLAIM", {"attempt = n.attempt + 1": "attempt = greatest(1, n.attempt)"}
    ),
    "a claim before its time": Mutant(claim, "CLAIM", {"AND due_at <= now()": ""}),
    # record
    "a record without the attempt": Mutant(record, "RECORD", {"AND n.attempt = r.attempt": ""}),
    "a record without the status": Mutant(record, "RECORD", {AT_SENDING: "true"}),
    "any late result settles": Mutant(record, "RECORD", {AT_UNKNOWN: "n.status || '' = 'unknown'"}),
    "a late success settles anything": Mutant(
        record, "RECORD", {AT_UNKNOWN: "(n.status || '' <> 'sending' AND r.outcome = 'accepted')"}
    ),
    "a doubt that is not marked": Mutant(
        record, "RECORD", {"possible_duplicate = n.possible_duplicate OR r.doubles,": ""}
    ),
    "a start without a fence": Mutant(
        record,
        "RECORD",
        {"AND n.attempt = %(next_attempt)s::int": "", "AND n.worker_id = %(next_worker)s::uuid": ""},
    ),
    # recovery
    "a burial without the beat": Mutant(recover, "BURY", {"AND beat = %(beat)s": ""}),
    "a recovery without a lock": Mutant(recover, "TAKE_BACK", NO_LOCK),
    "a recovery that does not mark": Mutant(
        recover, "TAKE_BACK", {"possible_duplicate = n.possible_duplicate OR j.outcome = 'lost',": ""}
    ),
    "a recovery that sends again what is held": Mutant(recover, "TAKE_BACK", {"coalesce(p.hold, true)": "false"}),
    "a recovery that counts no losses": Mutant(
        recover, "TAKE_BACK", {"losses = n.losses + (j.outcome = 'lost')::int,": ""}
    ),
    # operators
    "a cancel of what is being sent": Mutant(
        operate,
        "CANCEL",
        {
            "'pending', 'failed', 'unknown'": "'pending', 'sending'",
            "finished_at = now()": f"finished_at = now(), {NO_CLAIM}",
        },
    ),
    "a replay of what was sent": Mutant(operate, "REPLAY", {"('failed', 'unknown')": "('failed', 'unknown', 'sent')"}),
    "a replay that does not mark": Mutant(operate, "REPLAY", {"OR n.status || '' = 'unknown'": ""}),
    # receipts
    "receipts that regress": Mutant(receipts, "FARTHEST", {"max(rank)": "min(rank)"}),
    "a receipt without a lock": Mutant(receipts, "LOCK", {"FOR UPDATE": ""}),
    # purge
    "a purge without a lock": Mutant(purge, "DELETE_NOTIFICATIONS", NO_LOCK),
    "a purge of keys that are needed": Mutant(
        purge, "DELETE_RECORDS", {"n.status IN ('pending', 'sending', 'unknown')": "false"}
    ),
}
