"""Holds the results of one drain until they are written, and does not let go of one before it is."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import monotonic
from typing import Final, NamedTuple
from uuid import UUID

import structlog
from django.db import Error as DatabaseError

from channels.registry import channel_of
from notifications import counting, metrics, nudge
from notifications.holdings import Holdings
from notifications.outbox import receipts, suppress
from notifications.outbox.claim import Claim
from notifications.outbox.record import Recorded, Result, record
from notifications.outbox.statement import give_back
from notifications.outbox.suppress import Suppressed
from notifications.pace import LARGEST_BATCH, SLOW_SEND
from notifications.states import Outcome
from notifications.together import Together

MOST_IN_LINE: Final = 100  # correlation ids in one line of log
OLDEST: Final = 0.02  # seconds a result may wait while its thread goes on sending
RETRY_FIRST: Final = 0.1  # seconds, doubled up to the next
RETRY_LONGEST: Final = 2.0
# When the process must end and the database is away: then recovery decides, and marks what may double.
STOPPING_PATIENCE: Final = 8.0

log = structlog.get_logger(__name__)


class Ledger:
    """What threads that send by the same backend record together, where each sends slowly.

    `reported`: whether the provider reports delivery, perhaps before its send is recorded.
    """

    def __init__(self, *, reported: bool) -> None:
        self._record = Together(_record)
        self._apply = Together(_apply) if reported else None

    def record(self, results: Sequence[Result], next_claim: Claim | None) -> Recorded:
        asked = _Record(results, next_claim)
        # A batch is worth a statement of its own.
        return _record([asked]) if len(results) > 1 else self._record.ask(asked)

    def apply_receipts(self, results: Sequence[Result], channel: str) -> None:
        if self._apply and results:
            self._apply.ask(_Apply([result.claim.id for result in results], channel))


class _Record(NamedTuple):
    results: Sequence[Result]
    next_claim: Claim | None


def _record(asked: Sequence[_Record]) -> Recorded:
    return record(
        [result for one in asked for result in one.results],
        now=monotonic(),
        next_claims=[one.next_claim for one in asked if one.next_claim],
    )


class _Apply(NamedTuple):
    ids: Sequence[UUID]
    channel: str


def _apply(asked: Sequence[_Apply]) -> bool:
    settled = receipts.apply_stored([id_ for one in asked for id_ in one.ids])
    for status in settled.values():
        counting.reported(asked[0].channel, status)  # a ledger's are all of one
    return True


class Recorder:
    """Used by one thread, for what it has claimed of a lane; `claimed`: the monotonic clock before it did."""

    def __init__(
        self, holdings: Holdings, stopping: threading.Event, ledger: Ledger, *, lane: str, claimed: float
    ) -> None:
        self._lane = lane
        self._claimed = claimed
        self._holdings = holdings
        self._stopping = stopping
        self._ledger = ledger
        self._results: list[Result] = []
        self._suppressed: list[Suppressed] = []
        self._oldest = 0.0

    def add(self, result: Result) -> None:
        if not self._results:
            self._oldest = result.finished
        self._results.append(result)

    def suppress(self, recipient: Suppressed) -> None:
        """Put it on the list before the result that is added next is written: a crash between the two forgets neither
        the recipient nor, as the claim is taken back, the notification."""
        self._suppressed.append(recipient)

    def flush_if_due(self, *, last_send: float) -> None:
        """Write what has waited long enough; `last_send`: seconds the last send took."""
        results = self._results
        if results and (
            last_send >= SLOW_SEND or len(results) >= LARGEST_BATCH or results[-1].finished - self._oldest >= OLDEST
        ):
            self.flush()

    def flush(self, next_claim: Claim | None = None) -> bool:
        """Write all; True if `next_claim` was marked as started, and so may be sent.

        Tries until the database answers: a result that is known must not become a doubt.
        """
        if not self._results and next_claim is None:
            return False
        delay, since = RETRY_FIRST, monotonic()
        recorded: Recorded | None = None
        while True:
            try:
                if self._suppressed:
                    self._write_suppressed()
                recorded = recorded or self._record(next_claim)
                self._ledger.apply_receipts(self._results, channel_of(self._lane))
                break
            except DatabaseError as error:
                log.warning("record.retried", results=len(self._results), error=type(error).__name__)
                if self._stopping.is_set() and monotonic() - since > STOPPING_PATIENCE:
                    log.critical("record.abandoned", results=len(self._results))
                    return False
            finally:
                give_back()
            self._stopping.wait(delay) if not self._stopping.is_set() else threading.Event().wait(delay)
            delay = min(RETRY_LONGEST, delay * 2)
        for result in self._results if recorded.late else ():
            if result.claim.id in recorded.late:
                log.warning(
                    "record.late",
                    notification_id=str(result.claim.id),
                    attempt=result.claim.attempt,
                    outcome=result.outcome.value,
                )
        if self._results:
            counting.recorded(self._lane, self._results, recorded.late, claimed=self._claimed)
        for lane in recorded.told | recorded.moved:
            nudge.request(lane)
        self._log_quick()
        self._holdings.drop(result.claim for result in self._results)
        self._results = []
        return next_claim is not None and next_claim.id in recorded.started

    def _record(self, next_claim: Claim | None) -> Recorded:
        began = monotonic()
        recorded = self._ledger.record(self._results, next_claim)
        metrics.record_seconds().observe(monotonic() - began)
        return recorded

    def _write_suppressed(self) -> None:
        new = suppress.add(self._suppressed)
        for each in self._suppressed:
            if each.address in new:
                log.warning(
                    "recipient.suppressed",
                    channel=each.channel,
                    test=each.test,
                    reason=each.reason.value,
                    code=each.source,
                    notification_id=str(each.notification_id),
                )
        self._suppressed = []

    def _log_quick(self) -> None:
        quick = [result for result in self._results if is_quick(result)]
        for first in range(0, len(quick), MOST_IN_LINE):
            some = quick[first : first + MOST_IN_LINE]
            log.info(
                "sends.finished",
                count=len(some),
                outcome=Outcome.ACCEPTED.value,
                backend=some[0].backend,
                correlation_ids=[result.claim.correlation_id for result in some],
            )


def is_quick(result: Result) -> bool:
    """Whether it was accepted in less time than a line of log is worth: such are logged many in one."""
    return result.outcome is Outcome.ACCEPTED and result.finished - result.started < SLOW_SEND
