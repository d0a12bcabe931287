"""Claim, deliver, record: one thread's work on one lane. No transaction is open while a provider is waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from time import monotonic
from typing import Final

import structlog
from django.conf import settings
from django.db import Error as DatabaseError

from channels.contract import (
    ConfigurationError,
    Message,
    OnUnknown,
    PermanentError,
    RateLimited,
    Receipt,
    Refused,
    Session,
    TransientError,
)
from channels.registry import Channel, channel_of, channels
from notifications import nudge, retry
from notifications.cursors import Cursors
from notifications.holdings import Holdings
from notifications.lease import Lease
from notifications.outbox import lanes
from notifications.outbox.claim import Claim, claim
from notifications.outbox.record import Result
from notifications.outbox.recover import Policy
from notifications.outbox.statement import give_back
from notifications.recorder import SLOW_SEND, Recorder
from notifications.states import Event, Outcome, Status

DRAIN_FOR: Final = 60.0  # seconds, then nudge again: brokers time out consumers that never acknowledge
CONFIGURATION_PAUSE: Final = timedelta(seconds=15)  # doubled at each refusal in a row: mending takes a person
CONFIGURATION_PAUSE_LONGEST: Final = timedelta(minutes=5)
RATE_PAUSE_LONGEST: Final = timedelta(hours=1)  # a provider that asks for more is asked again after this

log = structlog.get_logger(__name__)


def policies() -> dict[str, Policy]:
    """What recovery must know of each channel."""
    return {
        name: Policy(known.backend.name, hold_unknown=known.on_unknown is OnUnknown.HOLD)
        for name, known in channels().items()
    }


class Delivery:
    """What the threads of one worker process share."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self.holdings = Holdings()
        self.stopping = threading.Event()
        self.troubled: frozenset[str] = frozenset()  # lanes to be resumed at their next success; set by the relay
        self._cursors = Cursors()
        self._quick: set[str] = set()  # lanes whose last send took less than a statement

    def drain(self, lane: str) -> None:
        """Work on a lane until nothing is due, the time is up or the process stops."""
        known = channels().get(channel_of(lane))
        if known is None:
            log.error(
                "lane.unknown_channel", lane=lane
            )  # what waits there stays pending until the settings know it again
            return
        until = monotonic() + DRAIN_FOR
        in_full_flow = False
        while not self.stopping.is_set():
            if monotonic() > until:
                nudge.request(lane)
                return
            claimed = monotonic()
            # A send that takes longer than a statement is marked when it begins, so that a crash doubts it alone.
            # Quick ones are marked with their claim: a crash then doubts the batch, but none costs a statement.
            one_by_one = known.on_unknown is OnUnknown.HOLD or lane not in self._quick
            claims = self._claim(lane, known, in_full_flow=in_full_flow, started=not one_by_one)
            if not claims:
                return
            in_full_flow = len(claims) >= known.batch
            if in_full_flow:
                nudge.request(lane)  # more than one thread's worth: recruit another
            self._deliver(claims, lane, known, claimed=claimed, one_by_one=one_by_one)

    def _claim(self, lane: str, known: Channel, *, in_full_flow: bool, started: bool) -> list[Claim]:
        worker_id = self.lease.worker_id
        if worker_id is None or not self.lease.holds(worker_id):
            return []  # the relay nudges again when there is a lease
        positions, whole = self._cursors.begin(lane, in_full_flow=in_full_flow)
        began = monotonic()
        try:
            with self.holdings.claiming():
                claims = claim(
                    lane,
                    worker_id=worker_id,
                    batch=known.batch,
                    started=started,
                    cursors=positions,
                )
                self.holdings.take(claims)
        except DatabaseError as error:
            log.warning("claim.failed", lane=lane, error=type(error).__name__)
            return []
        finally:
            give_back()
        self._cursors.advance(lane, claims, whole=whole, took=monotonic() - began)
        return claims

    def _deliver(self, claims: list[Claim], lane: str, known: Channel, *, claimed: float, one_by_one: bool) -> None:
        recorder = Recorder(self.holdings, self.stopping)
        remaining = list(reversed(claims))
        try:
            with _session(known) as session:
                while remaining:
                    current = remaining[-1]
                    if self.stopping.is_set() or not self.lease.holds(current.worker_id):
                        break
                    left = _life_left(current, claimed)
                    if left is not None and left <= timedelta(0):
                        recorder.add(_expired(remaining.pop(), known))
                        continue
                    if one_by_one and not recorder.flush(next_claim=current):
                        remaining.pop()
                        self.holdings.drop([current])
                        log.warning("send.refused_by_fence", notification_id=str(current.id), attempt=current.attempt)
                        continue
                    result, paused = self._send(session, remaining.pop(), lane, known, left=left)
                    recorder.add(result)
                    if paused:
                        break
                    took = result.finished - result.started
                    self._pace(lane, took)
                    if not one_by_one:
                        recorder.flush_if_due(last_send=took)
        finally:
            for current in reversed(remaining):
                recorder.add(_unsent(current, known))
            recorder.flush()

    def _send(
        self, session: Session, current: Claim, lane: str, known: Channel, *, left: timedelta | None
    ) -> tuple[Result, bool]:
        """Send once; the result, and whether the lane is paused now."""
        with structlog.contextvars.bound_contextvars(
            correlation_id=current.correlation_id,
            notification_id=str(current.id),
            attempt=current.attempt,
            lane=lane,
        ):
            started = monotonic()
            retry_after: timedelta | None = None
            pause = False
            provider_id = ""
            try:
                receipt: Receipt = session.send(_message(current))
                outcome, code, detail = Outcome.ACCEPTED, receipt.code, receipt.detail
                provider_id = receipt.provider_id
            except PermanentError as error:
                outcome, code, detail = Outcome.PERMANENT, error.code, error.detail
                pause = error.refuses is Refused.DESTINATION and self._pause(lane, known, error)
            except TransientError as error:
                outcome = Outcome.IN_DOUBT if error.outcome_unknown else Outcome.TRANSIENT
                code, detail, retry_after = error.code, error.detail, error.retry_after
            except RateLimited as error:
                outcome, code, detail, retry_after = (
                    Outcome.RATE_LIMITED,
                    error.code,
                    error.detail,
                    error.retry_after,
                )
                pause = self._pause(lane, known, error)
            except ConfigurationError as error:
                outcome, code, detail = Outcome.RELEASED, error.code, error.detail
                pause = self._pause(lane, known, error)
            except Exception as error:
                log.exception("send.unexpected", backend=known.backend.name)
                outcome, code, detail = (
                    Outcome.UNEXPECTED,
                    type(error).__name__,
                    "the backend failed; see the log",
                )
            finished = monotonic()
            decision = retry.decide(
                outcome,
                tries=current.tries,
                hold_unknown=known.on_unknown is OnUnknown.HOLD,
                retry_after=retry_after,
                expires_in=None if left is None else left - timedelta(seconds=finished - started),
            )
            log.info(
                "send.finished",
                outcome=outcome.value,
                status=decision.status.value,
                code=code,
                backend=known.backend.name,
                milliseconds=round((finished - started) * 1000, 1),
            )
            if outcome is Outcome.ACCEPTED and lane in self.troubled:
                self._resume(lane)
        return (
            Result(
                claim=current,
                outcome=outcome,
                decision=decision,
                code=code,
                detail=detail,
                provider_id=provider_id,
                backend=known.backend.name,
                started=started,
                finished=finished,
            ),
            pause,
        )

    def _pace(self, lane: str, took: float) -> None:
        if took < SLOW_SEND:
            self._quick.add(lane)
        else:
            self._quick.discard(lane)

    def _pause(self, lane: str, known: Channel, error: RateLimited | ConfigurationError | PermanentError) -> bool:
        reason = f"{error.code}: {error.detail}"
        try:
            if isinstance(error, RateLimited):
                seconds = lanes.pause(lane, min(error.retry_after, RATE_PAUSE_LONGEST), reason)
            else:
                seconds = lanes.pause_growing(lane, CONFIGURATION_PAUSE, CONFIGURATION_PAUSE_LONGEST, reason)
            log.warning("lane.paused", lane=lane, backend=known.backend.name, reason=reason, seconds=round(seconds, 1))
        except DatabaseError:
            log.warning("lane.pause_failed", lane=lane)  # the next refusal tries again
        finally:
            give_back()
        return True

    def _resume(self, lane: str) -> None:
        self.troubled -= {lane}
        try:
            if lanes.resume(lane):
                log.info("lane.resumed", lane=lane)
        except DatabaseError:
            log.warning("lane.resume_failed", lane=lane)
        finally:
            give_back()


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


def _life_left(current: Claim, claimed: float) -> timedelta | None:
    """Until `expires_at`, by the database's clock at the claim and ours since."""
    if current.expires_in is None:
        return None
    return timedelta(seconds=current.expires_in - (monotonic() - claimed))


def _message(current: Claim) -> Message:
    receipt_url = f"{settings.PUBLIC_URL}/api/v1/receipts/{current.channel}/{current.id}/{current.attempt}"
    return Message(
        notification_id=current.id,
        attempt=current.attempt,
        to=current.recipient,
        subject=current.subject,
        body=current.body,
        correlation_id=current.correlation_id,
        created_at=current.created_at,
        receipt_url=receipt_url if settings.PUBLIC_URL else "",
    )


def _unsent(current: Claim, known: Channel) -> Result:
    now = monotonic()
    return Result(
        claim=current,
        outcome=Outcome.RELEASED,
        decision=retry.Decision(Event.RELEASE, Status.PENDING),
        backend=known.backend.name,
        started=now,
        finished=now,
    )


def _expired(current: Claim, known: Channel) -> Result:
    now = monotonic()
    return Result(
        claim=current,
        outcome=Outcome.RELEASED,
        decision=retry.Decision(Event.EXPIRE, Status.FAILED),
        code="expired",
        detail="expires_at had passed",
        backend=known.backend.name,
        started=now,
        finished=now,
    )
