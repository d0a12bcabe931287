"""Claim, deliver, record: one thread's work on one lane. No transaction is open while a provider is waited for."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import Final, NamedTuple

import structlog
from django.db import Error as DatabaseError

from channels.contract import ConfigurationError, OnUnknown, Session
from channels.registry import Channel, backends_of, by_head, channel_for, is_test
from notifications import content, metrics, nudge, pauses, sending
from notifications.content import Octets
from notifications.cursors import Cursors
from notifications.gate import TOKEN_LIFE, Entry, Gate
from notifications.holdings import Holdings
from notifications.lease import Lease
from notifications.outbox.attachments import read_files
from notifications.outbox.claim import Claim, claim
from notifications.outbox.recover import Policy
from notifications.outbox.statement import give_back
from notifications.pace import Pace
from notifications.recorder import Ledger, Recorder, is_quick

DRAIN_FOR: Final = 60.0  # seconds, then nudge again: brokers time out consumers that never acknowledge

log = structlog.get_logger(__name__)


def policies() -> dict[str, Policy]:
    """What recovery must know of each backend, by what its lanes are named by."""
    return {
        head: Policy(
            known.backend.name,
            hold_unknown=known.on_unknown is OnUnknown.HOLD,
            deduplicates_for=known.backend.deduplicates_for,
            send_timeout=known.backend.send_timeout,
        )
        for head, known in by_head().items()
    }


class Drained(NamedTuple):
    """How a drain ended."""

    emptied: bool = False  # something was done, and nothing is left that is due
    again_in: float | None = None  # seconds until it is worth while again, where that is known


class Delivery:
    """What the threads of one worker process share."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.holdings = Holdings()
        self.stopping = threading.Event()
        self.gate = Gate()
        self.cursors = Cursors()
        self._paces: dict[str, Pace] = defaultdict(Pace)
        # By any backend of its channel: what one sends may turn out to be another's.
        self._ledgers = {
            head: Ledger(reported=any(each.backend.gives_reports for each in backends_of(known)))
            for head, known in by_head().items()
        }

    def drain(self, lane: str) -> Drained:
        """Work on a lane until nothing is due, it may send no more, the time is up or the process stops."""
        known = channel_for(lane)
        if known is None:
            _stand_still(lane)
            return Drained()
        pace = self._paces[lane]
        with pace.working():
            return self._drain(lane, known, pace)

    def _drain(self, lane: str, known: Channel, pace: Pace) -> Drained:
        until = monotonic() + DRAIN_FOR
        in_full_flow = worked = False
        while not self.stopping.is_set() and not pace.superfluous:
            if monotonic() > until:
                nudge.request(lane)
                return Drained()
            worker_id = self.lease.worker_id
            if worker_id is None or not self.lease.holds(worker_id):
                return Drained(worked)  # the relay nudges again when there is a lease
            claimed = monotonic()
            # A send that takes longer than a statement is marked when it begins, so that a crash doubts it alone.
            # Quick ones are marked with their claim: a crash then doubts the batch, but none costs a statement.
            one_by_one = known.on_unknown is OnUnknown.HOLD or not pace.quick
            batch = pace.next_batch(known.batch, one_by_one=one_by_one, in_full_flow=in_full_flow)
            asked = batch if known.rate is None else min(batch, pace.within(TOKEN_LIFE))
            entry = self.gate.enter(lane, known, worker_id, most=asked)
            if not entry.most:
                return Drained(again_in=entry.again_in)
            claims = self._claim(entry, pace, in_full_flow=in_full_flow, started=not one_by_one)
            if not claims:
                self.gate.leave(entry, sent=0)
                return Drained(worked)
            worked = True
            was_in_full_flow, in_full_flow = in_full_flow, any(each.more for each in claims)
            pace.claimed(entry.most, full=in_full_flow)
            if in_full_flow and entry.most == asked and not (was_in_full_flow and pace.staffed):
                nudge.request(lane)  # more than one thread's worth: recruit another, here or elsewhere
            sent = self._deliver(claims, entry, pace, claimed=claimed, one_by_one=one_by_one)
            self.gate.leave(entry, sent=sent)
            if known.rate and not in_full_flow:
                return Drained(emptied=True)  # it need not take a token to see that nothing is left
        return Drained()

    def _claim(self, entry: Entry, pace: Pace, *, in_full_flow: bool, started: bool) -> list[Claim]:
        lane = entry.lane
        # One of our threads at a time: side by side each would walk over the rows that the others are locking.
        with pace.claiming:
            stretches, whole = self.cursors.begin(lane, in_full_flow=in_full_flow, first=pace.turn())
            began = monotonic()
            try:
                with self.holdings.claiming():
                    claims = claim(
                        lane,
                        worker_id=entry.worker_id,
                        batch=entry.most,
                        started=started,
                        stretches=stretches,
                        probing=entry.probing,
                    )
                    self.holdings.take(claims)
            except DatabaseError as error:
                log.warning("claim.failed", lane=lane, error=type(error).__name__)
                return []
            finally:
                give_back()
            took = monotonic() - began
            metrics.claim_seconds().observe(took)
            self.cursors.advance(lane, claims, whole=whole, took=took)
        return claims

    def _deliver(self, claims: list[Claim], entry: Entry, pace: Pace, *, claimed: float, one_by_one: bool) -> int:
        """How many sends were begun; the rest is given back."""
        lane, known, state, sent = entry.lane, entry.channel, entry.state, 0
        recorder = Recorder(self.holdings, self.stopping, self._ledgers[known.head], lane=lane, claimed=claimed)
        remaining = claims[::-1]
        try:
            underway = _Underway()
            attached = _Attached()
            with structlog.contextvars.bound_contextvars(lane=lane, send=underway), _session(known) as session:
                while remaining:
                    current = remaining[-1]
                    if self.stopping.is_set() or entry.is_over(sent) or not self.lease.holds(current.worker_id):
                        break
                    left, key_left = _left(current.expires_in, claimed), _left(current.key_left, claimed)
                    if left is not None and left <= timedelta(0):
                        recorder.add(sending.expired(remaining.pop(), known))
                        continue
                    if key_left is not None and sending.forgets(known, key_left):
                        recorder.add(sending.forgotten(remaining.pop(), known))
                        continue
                    if current.suppressed:
                        recorder.add(sending.suppressed(remaining.pop(), known))
                        continue
                    if current.content and not attached.read(current):
                        break  # nothing of it has begun: the database is away, and what remains goes back
                    if one_by_one and not recorder.flush(next_claim=current):
                        remaining.pop()
                        self.holdings.drop([current])
                        log.warning("send.refused_by_fence", notification_id=str(current.id), attempt=current.attempt)
                        continue
                    underway.claim = remaining.pop()
                    sent += 1
                    result, failure = sending.send(
                        session, current, lane, known, left=left, key_left=key_left, files=attached.files
                    )
                    if not is_quick(result):
                        sending.log_result(result)
                    if failure is not None and (refused := sending.suppressed_by(failure, current, known)):
                        recorder.suppress(refused)
                    recorder.add(result)
                    if failure is not None:
                        if self.gate.failed(entry, failure):
                            break
                    elif (state.failures or entry.probing) and sending.is_success(result, known):
                        self.gate.succeeded(entry)
                    took = result.finished - result.started
                    pace.sent(took)
                    if not one_by_one:
                        recorder.flush_if_due(last_send=took)
        finally:
            for current in reversed(remaining):
                recorder.add(sending.unsent(current, known))
            recorder.flush()
        return sent


def _stand_still(lane: str) -> None:
    """For a lane that nothing here can send: all in it stays pending until the settings have it again."""
    if is_test(lane):
        nowhere = ConfigurationError("sandbox_not_configured", "this worker knows no sandbox for it: set SANDBOX_URL")
        pauses.after(nowhere, lane)
    else:
        log.error("lane.unknown_channel", lane=lane)


class _Underway:
    """What a thread is sending. Bound once for all that it sends: binding each would cost more than a quick send."""

    claim: Claim | None = None

    def log_fields(self) -> Mapping[str, object]:
        return self.claim.log_fields() if self.claim else {}


class _Attached:
    """The files of what a thread sends next. Of a whole batch they could be more than there is memory for."""

    files: Octets = sending.NO_FILES

    def read(self, claim: Claim) -> bool:
        """Whether they are all that the database has of this one's; those that the one before had, too, are there."""
        try:
            wanted = set(content.digests(content.read(claim.content)))
        except (KeyError, TypeError, ValueError):  # not ours: its own send says so, and no other is held up
            wanted = set()
        here = {digest: octets for digest, octets in self.files.items() if digest in wanted}
        self.files = here
        if missing := wanted - here.keys():
            try:
                self.files = here | read_files(missing)
            except DatabaseError as error:
                log.warning("files.not_read", error=type(error).__name__)
                return False
            finally:
                give_back()
        return True


@contextmanager
def _session(known: Channel) -> Iterator[Session]:
    """The backend's session; that closing it fails changes nothing of what was sent."""
    session = known.backend.session()
    entered = session.__enter__()
    try:
        yield entered
    finally:
        try:
            session.__exit__(None, None, None)
        except Exception:
            log.exception("session.close_failed", backend=known.backend.name)


def _left(seconds: float | None, claimed: float) -> timedelta | None:
    """Of what was left at the claim, by the database's clock then and ours since."""
    return None if seconds is None else timedelta(seconds=seconds - (monotonic() - claimed))
