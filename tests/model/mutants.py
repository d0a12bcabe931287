"""Fences and locks, each removed on purpose: what the model must find.

A mutant replaces clauses of one statement. Not here is what nothing could find, because another fence stands behind it:
the worker's id in the record (a number of an attempt is given to one worker alone), the mark of what is replayed from
`unknown` (it has one already); nor what a CHECK constraint refuses to store.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Final

import pytest

from notifications.outbox import claim, divert, operate, purge, receipts, record, recover, redact, suppress
from notifications.outbox.statement import squeezed


@dataclass(frozen=True, slots=True)
class Mutant:
    """`rules`: those that lead to its discovery; `meet`: what is held open, and what is done meanwhile."""

    module: ModuleType
    statement: str  # the constant's name
    clauses: dict[str, str]  # what is there, and what is put in its place
    rules: frozenset[str]
    meet: tuple[str, str] | None

    def live(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Raises: AssertionError where a clause is not in the statement, and nothing would be broken."""
        sql: str = getattr(self.module, self.statement)
        for readable, instead in self.clauses.items():
            clause = readable if readable in sql else squeezed(readable)
            assert clause in sql, f"{readable!r} is not in {self.statement}"
            sql = sql.replace(clause, instead)
        monkeypatch.setattr(self.module, self.statement, sql)


def mutant(
    module: ModuleType, statement: str, clauses: dict[str, str], *rules: str, meet: tuple[str, str] | None = None
) -> Mutant:
    needed = {"claim", "work", *rules} | ({"two_at_once"} if meet else set())
    return Mutant(module, statement, clauses, frozenset(needed), meet)


NO_CLAIM: Final = "worker_id = NULL, claimed_at = NULL, started_at = NULL"
NO_LOCK: Final = {"FOR UPDATE SKIP LOCKED": ""}
AT_SENDING: Final = "(n.status || '' = 'sending' AND n.worker_id = r.worker)"
AT_UNKNOWN: Final = "(n.status || '' = 'unknown' AND r.outcome = 'accepted')"

MUTANTS: Final = {
    # claim
    "a claim that takes without a lock": mutant(claim, "CLAIM", NO_LOCK, meet=("claim", "claim")),
    "a claim that waits for locks": mutant(claim, "CLAIM", {"SKIP LOCKED": ""}, meet=("cancel", "claim")),
    "a claim that does not raise the attempt": mutant(
        claim, "CLAIM", {"attempt = n.attempt + 1": "attempt = greatest(1, n.attempt)"}, "give_back"
    ),
    "a claim before its time": mutant(claim, "CLAIM", {"AND due_at <= now()": ""}, "accept"),
    "a claim that does not say who is suppressed": mutant(
        claim, "CLAIM", {suppress.REASON_IN_LANE.format(row="n", lane="%(lane)s"): "NULL"}, "suppress"
    ),
    "a claim of a whole batch with one that kills": mutant(
        claim, "CLAIM", {"sending = first OR lossy IS NULL OR sending < lossy": "true"}, "wear"
    ),
    "a claim that does not say what is left of a key": mutant(
        claim, "CLAIM", {"extract(epoch FROM n.deduplicated_until - now())::float8": "NULL::float8"}, "wait"
    ),
    # record
    "a record without the attempt": mutant(record, "RECORD", {"AND n.attempt = r.attempt": ""}, "record", "give_back"),
    "a record without the status": mutant(record, "RECORD", {AT_SENDING: "true"}, "record", "bury"),
    "any late result settles": mutant(record, "RECORD", {AT_UNKNOWN: "n.status || '' = 'unknown'"}, "record", "bury"),
    "a late success settles anything": mutant(
        record, "RECORD", {AT_UNKNOWN: "(n.status || '' <> 'sending' AND r.outcome = 'accepted')"}, "record", "bury"
    ),
    "a doubt that is not marked": mutant(
        record, "RECORD", {"possible_duplicate = n.possible_duplicate OR r.doubles,": ""}
    ),
    "a start without a fence": mutant(
        record,
        "RECORD",
        {"AND n.attempt = s.attempt AND n.worker_id = s.worker": ""},
        "bury",
    ),
    "a doubt that is left to a key for longer": mutant(
        record, "RECORD_MOVES", {"least(n.deduplicated_until,": "greatest(n.deduplicated_until + '1 day',"}, "wait"
    ),
    # recovery
    "a burial without the beat": mutant(
        recover, "BURY", {"AND beat = %(beat)s": ""}, "bury", meet=("look around", "bury")
    ),
    "a recovery without a lock": mutant(
        recover,
        "TAKE_BACK",
        {**NO_LOCK, NO_CLAIM: f"{NO_CLAIM}, finished_at = NULL"},
        "learn_of_burial",
        meet=("record", "bury"),
    ),
    "a recovery that does not mark": mutant(
        recover,
        "TAKE_BACK",
        {"possible_duplicate = n.possible_duplicate OR (j.outcome = 'lost' AND j.until IS NULL),": ""},
        "bury",
    ),
    "a recovery that sends again what is held": mutant(
        recover, "TAKE_BACK", {"coalesce(p.hold, true)": "false"}, "bury"
    ),
    "a recovery that counts no losses": mutant(
        recover, "TAKE_BACK", {"losses = n.losses + (j.outcome = 'lost')::int,": ""}, "bury"
    ),
    "a recovery that forgets how old a key is": mutant(
        recover, "TAKE_BACK", {"least(a.began, (SELECT": "greatest(a.began, (SELECT"}, "bury", "wait", "record"
    ),
    "a recovery that trusts a key that is over": mutant(
        recover, "TAKE_BACK", {"l.key_until - l.deadline > now()": "l.key_until IS NOT NULL"}, "bury", "wait", "record"
    ),
    # operators
    "a cancel of what is being sent": mutant(
        operate,
        "CANCEL",
        {
            "'pending', 'failed', 'unknown'": "'pending', 'sending'",
            "finished_at = now()": f"finished_at = now(), {NO_CLAIM}",
        },
        "cancel",
    ),
    "a replay of what was sent": mutant(
        operate, "REPLAY", {"('failed', 'unknown')": "('failed', 'unknown', 'sent')"}, "replay"
    ),
    "a replay of what would only be stopped": mutant(
        operate, "REPLAY", {suppress.REASON.format(row="notification"): "NULL"}, "suppress", "replay"
    ),
    "a replay that forgets the mark": mutant(
        operate, "REPLAY", {"n.possible_duplicate OR n.status || '' = 'unknown'": "false"}, "replay"
    ),
    "a reschedule of what is being sent": mutant(
        operate, "RESCHEDULE", {"= 'pending'": "IN ('pending', 'sending')"}, "reschedule"
    ),
    "a replay that stays with the backup": mutant(
        operate, "REPLAY", {f"lane = regexp_replace(n.lane, '{operate.OF_BACKUP}', '\\1'),": ""}, "replay"
    ),
    # other backends
    "a failover that goes nowhere": mutant(
        record, "RECORD_MOVES", {"lane = coalesce(nullif(r.lane, ''), n.lane)": "lane = n.lane"}
    ),
    "a diversion without a lock": mutant(
        divert, "DIVERT", {"FOR UPDATE OF n SKIP LOCKED": ""}, "stop", meet=("cancel", "divert")
    ),
    "a diversion of what is being sent": mutant(
        divert, "DIVERT", {"n.status || '' = 'pending'": "n.status IN ('pending', 'sending')"}, "stop", "divert"
    ),
    "a diversion before its time": mutant(divert, "DIVERT", {"n.due_at <= now()": "true"}, "stop", "divert", "accept"),
    "a diversion from a provider that asked for patience": mutant(
        divert, "DIVERT", {divert.STOPPED: "s.paused_until > now()"}, "pause", "divert"
    ),
    "a diversion of what does not wait there": mutant(
        divert, "DIVERT", {"n.lane = %(lane)s": "%(lane)s <> ''"}, "stop", "divert"
    ),
    "an expiry that fails what may have been sent under a key": mutant(
        operate,
        "EXPIRE",
        {"CASE WHEN n.deduplicated_until IS NULL THEN": "CASE WHEN true THEN"},
        "accept",
        "wait",
        "expire",
    ),
    # receipts
    "receipts that regress": mutant(receipts, "FARTHEST", {"max(rank)": "min(rank)"}, "tell", "record"),
    "a receipt without a lock": mutant(receipts, "LOCK", {"FOR UPDATE": ""}, meet=("record", "tell")),
    # redaction
    "a redaction without a lock": mutant(redact, "WALK", NO_LOCK, "wait", meet=("replay", "redact")),
    "a replay of what is redacted": mutant(operate, "REPLAY", {"AND redacted_at IS NULL": ""}, "wait", "redact"),
    "a redaction that walks past what is open": mutant(
        redact, "WALK", {"id NOT IN (SELECT id FROM old)": "false"}, "wait", "cancel", "redact"
    ),
    "a purge that keeps the keys of what is redacted": mutant(
        purge, "DELETE_RECORDS", {"AND n.redacted_at IS NULL": ""}, "accept", "wait", "redact", "purge"
    ),
    # purge
    "a purge without a lock": mutant(purge, "DELETE_NOTIFICATIONS", NO_LOCK, "wait", meet=("replay", "purge")),
    "a purge of keys that are needed": mutant(
        purge, "DELETE_RECORDS", {"n.status IN ('pending', 'sending', 'unknown')": "false"}, "accept", "wait", "purge"
    ),
}
