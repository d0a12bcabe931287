"""sending → sent, pending, failed or unknown: write what came of attempts, many in one fenced statement."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString, NamedTuple
from uuid import UUID

from notifications.outbox import tell
from notifications.outbox.claim import Claim
from notifications.outbox.statement import array, run, storable, uuids
from notifications.retry import ACCEPTED, Decision
from notifications.states import Outcome, Status

# Applies results to the claims they belong to, and writes one attempt row for each.
# The fence is id, attempt, worker and status. The status is compared as `status || ''`, so that no partial index can
# match and rows are found by primary key: by the claimed index the planner walked dead entries (a third of the rate).
# A late result (its claim was taken away meanwhile) changes no status, but for a success of the very attempt that is
# unknown; it is noted in `late_outcome` of the attempt row that recovery wrote, unless a receipt has told of a success.
# The notifications of %(next)s are marked as started in the same transaction, under the same fence.
# Parameters: arrays, ages in seconds before now. One that would hold nothing but what most results have (accepted,
# sent, no word of the provider's) is left empty: `unnest` fills it up with nulls. Index: primary keys.
# Rows: (id, started, null): one for each result that came late, and one for each of %(next)s that may be sent.
_RECORD: Final[LiteralString] = """
WITH result AS (
    SELECT id, attempt, worker, coalesce(outcome, 'accepted') AS outcome, coalesce(status, 'sent') AS status,
           coalesce(delay, 0) AS delay, coalesce(tries, 0) AS tries, coalesce(doubles, false) AS doubles,
           coalesce(doubled, false) AS doubled, coalesce(code, '') AS code, coalesce(detail, '') AS detail,
           coalesce(provider_id, '') AS provider_id, %(backend)s::text AS backend, started, finished{alone}{with moves}
    FROM unnest(
        %(ids)s::text::uuid[], %(attempts)s::text::int[], %(workers)s::text::uuid[], %(outcomes)s::text::text[],
        %(statuses)s::text::text[], %(delays)s::text::float8[], %(tries)s::text::int[], %(doubles)s::text::bool[],
        %(doubled)s::text::bool[], %(codes)s::text::text[], %(details)s::text::text[], %(provider_ids)s::text::text[],
        %(started)s::text::float8[], %(finished)s::text::float8[]{moves}
    ) AS r (id, attempt, worker, outcome, status, delay, tries, doubles, doubled, code,
            detail, provider_id, started, finished{with moves})
), applied AS (
    UPDATE notification n
    SET status = r.status,
        due_at = CASE WHEN r.status = 'pending' THEN now() + r.delay * interval '1 second' ELSE n.due_at END,
        tries = n.tries + r.tries,
        possible_duplicate = n.possible_duplicate OR r.doubles,
        error_code = CASE WHEN r.outcome = 'accepted' THEN ''
                          WHEN r.outcome = 'released' AND r.status <> 'failed' THEN n.error_code
                          ELSE r.code END,
        provider_id = CASE WHEN r.provider_id <> '' THEN r.provider_id ELSE n.provider_id END,
        finished_at = CASE WHEN r.status IN ('sent', 'failed') THEN now() END,
        worker_id = NULL, claimed_at = NULL, started_at = NULL{moved}
    FROM result r
    WHERE n.id = r.id AND n.attempt = r.attempt
      AND ((n.status || '' = 'sending' AND n.worker_id = r.worker)
           OR (n.status || '' = 'unknown' AND r.outcome = 'accepted')){only if}
    RETURNING {returned}
), {told}noted AS (
    INSERT INTO attempt (notification_id, number, started_at, finished_at, outcome, late_outcome, code, detail,
                         provider_id, backend, worker_id, possible_duplicate{until})
    SELECT id, attempt, clock_timestamp() - started * interval '1 second',
           clock_timestamp() - finished * interval '1 second', outcome, '', code,
           detail, provider_id, backend, worker, doubled{is until}
    FROM result r WHERE true{only if}
    ON CONFLICT (notification_id, number) DO UPDATE SET late_outcome = excluded.outcome
        WHERE attempt.outcome <> excluded.outcome AND attempt.late_outcome <> 'accepted'
), next AS (
    UPDATE notification n SET started_at = now()
    FROM unnest(
        %(next)s::text::uuid[], %(next_attempts)s::text::int[], %(next_workers)s::text::uuid[]
    ) AS s (id, attempt, worker)
    WHERE n.id = s.id AND n.attempt = s.attempt AND n.worker_id = s.worker AND n.status || '' = 'sending'
    RETURNING n.id
)
SELECT r.id, {late}, NULL FROM result r WHERE NOT EXISTS (SELECT 1 FROM applied a WHERE a.id = r.id)
UNION ALL
SELECT id, true, NULL FROM next
{and also}"""

# While no client has a webhook. Where one has, nothing but %(next)s is written, and each result has a row (id, null) to
# say so. Preparing what tells costs Postgres an eighth of what recording one result does.
_ALONE: Final = (
    _RECORD.replace("{alone}", ", NOT EXISTS (SELECT 1 FROM webhook_endpoint) AS alone")
    .replace("{only if}", " AND r.alone")
    .replace("{returned}", "n.id")
    .replace("{told}", "")
    .replace("{late}", "CASE WHEN alone THEN false END")
    .replace("{and also}", "")
)

# While one has. Rows: as above, and (null, null, lane) for each webhook that is told.
_AND_TELL: Final = (
    _RECORD.replace("{alone}", "")
    .replace("{only if}", "")
    .replace("{returned}", tell.TOLD_OF)
    .replace("{told}", f"{tell.of('applied')}, ")
    .replace("{late}", "false")
    .replace("{and also}", "UNION ALL\nSELECT NULL, NULL, lane FROM told\n")
)


def _staying(statement: LiteralString) -> LiteralString:
    """Where nothing changes its backend and no provider's key counts, as nearly always."""
    for place in ("{with moves}", "{moves}", "{moved}", "{until}", "{is until}"):
        statement = statement.replace(place, "")
    return statement


def _moving(statement: LiteralString) -> LiteralString:
    """Where something goes on in another backend's lane, or is in doubt and its provider knows the key.

    %(lanes)s: where it goes on ('' for the same); %(key_lefts)s: seconds for which the key is known (null: none is).
    """
    until: LiteralString = "now() + r.key_left * interval '1 second'"
    return (
        statement.replace("{with moves}", ", lane, key_left")
        .replace("{moves}", ", %(lanes)s::text::text[], %(key_lefts)s::text::float8[]")
        .replace(
            "{moved}",
            f""",
        lane = coalesce(nullif(r.lane, ''), n.lane),
        deduplicated_until = CASE WHEN NOT r.doubles THEN least(n.deduplicated_until, {until}) END""",
        )
        .replace("{until}", ", deduplicated_until")
        .replace("{is until}", f", {until}")
    )


RECORD: Final = _staying(_ALONE)
RECORD_AND_TELL: Final = _staying(_AND_TELL)
RECORD_MOVES: Final = _moving(_ALONE)
RECORD_MOVES_AND_TELL: Final = _moving(_AND_TELL)


class Result(NamedTuple):
    """What came of one claim, ready to be written."""

    claim: Claim
    outcome: Outcome
    decision: Decision
    backend: str
    started: float  # seconds of the monotonic clock: when the send began, or would have
    finished: float
    code: str = ""
    detail: str = ""
    provider_id: str = ""
    lane: str = ""  # another backend's, in which it goes on; "" for the same
    key_left: float | None = None  # in doubt: seconds from `finished` for which the provider knows its key


_telling: Final = threading.Event()  # some client has had a webhook since this process began


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the statement did."""

    late: frozenset[UUID]  # results that came too late and changed no status
    started: frozenset[UUID]  # of the next, those whose send may begin
    told: frozenset[str]  # lanes of the webhooks that are told of these results
    moved: frozenset[str]  # lanes of other backends, in which something is to be tried at once


def record(results: Sequence[Result], *, now: float, next_claims: Sequence[Claim] = ()) -> Recorded:
    """Write results of one backend, and mark `next_claims` as started.

    `now`: the monotonic clock, against which the results' own times are ages. Safe to repeat: a second time changes
    nothing. Raises: django.db.OperationalError; then it is not known what was written, and repeating settles it.
    """
    plain = all(map(_is_plain, results))
    parameters: dict[str, object] = {
        "ids": uuids(r.claim.id for r in results),
        "attempts": array(r.claim.attempt for r in results),
        "workers": _same_uuids([r.claim.worker_id for r in results]),
        "backend": results[0].backend if results else "",
        "started": array(f"{now - r.started:.6f}" for r in results),
        "finished": array(f"{now - r.finished:.6f}" for r in results),
        "next": uuids(claim.id for claim in next_claims),
        "next_attempts": array(claim.attempt for claim in next_claims),
        "next_workers": uuids(claim.worker_id for claim in next_claims),
    }
    parameters |= _PLAIN if plain else _particulars(results)
    moves = not plain and any(map(_moves, results))
    if moves:
        parameters |= _whither(results, now)
    rows = run(RECORD_MOVES if moves else RECORD, parameters) if not _telling.is_set() else []
    if _telling.is_set() or any(started is None for _, started, _ in rows):
        _telling.set()
        rows = run(RECORD_MOVES_AND_TELL if moves else RECORD_AND_TELL, parameters)
    return Recorded(
        late=frozenset(id_ for id_, started, _ in rows if started is False),
        started=frozenset(id_ for id_, started, _ in rows if started),
        told=frozenset(lane for _, _, lane in rows if lane),
        moved=frozenset(r.lane for r in results if r.lane and not r.decision.delay) if moves else frozenset(),
    )


def _is_plain(result: Result) -> bool:
    """Whether it is as most are: accepted, sent, no word of the provider's."""
    return (
        result.decision is ACCEPTED
        and not (result.code or result.detail or result.provider_id)
        and not result.claim.possible_duplicate
    )


def _particulars(results: Sequence[Result]) -> dict[str, object]:
    return {
        "outcomes": _array_unless_all(Outcome.ACCEPTED, [r.outcome for r in results]),
        "statuses": _array_unless_all(Status.SENT, [r.decision.status for r in results]),
        "delays": _array_unless_all(0.0, [r.decision.delay.total_seconds() for r in results]),
        "tries": _array_unless_all(0, [int(r.decision.costs_try) for r in results]),
        "doubles": _array_unless_all(_NO, [r.decision.possible_duplicate for r in results]),
        "doubled": _array_unless_all(
            _NO, [r.claim.possible_duplicate and r.outcome is not Outcome.RELEASED for r in results]
        ),
        "codes": _texts_unless_none([r.code for r in results]),
        "details": _texts_unless_none([r.detail for r in results]),
        "provider_ids": _texts_unless_none([r.provider_id for r in results]),
    }


def _moves(result: Result) -> bool:
    """Whether more is to be written of it than of others: another lane, or what a provider's key has to do with it."""
    key_ends = result.claim.key_left is not None and result.decision.possible_duplicate
    return bool(result.lane) or result.key_left is not None or key_ends


def _whither(results: Sequence[Result], now: float) -> dict[str, object]:
    return {
        "lanes": _texts_unless_none([r.lane for r in results]),
        "key_lefts": array("NULL" if r.key_left is None else f"{r.key_left - (now - r.finished):.6f}" for r in results),
    }


_NO: Final = False


def _same_uuids(values: list[UUID]) -> str:
    """The array of a batch's workers, who are one: a UUID takes long to write, and to compare."""
    if values and all(value is values[0] for value in values):
        return array([values[0].hex] * len(values))
    return uuids(values)


def _array_unless_all(usual: object, values: list[Any]) -> str:
    return "{}" if values.count(usual) == len(values) else array(values)


def _texts_unless_none(texts: list[str]) -> str:
    return "{" + ",".join(map(_quoted, texts)) + "}" if any(texts) else "{}"


def _quoted(text: str) -> str:
    return '"' + storable(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


_PLAIN: Final = _particulars([])
