"""One send: from a claim to the result that will be recorded. Everything a backend can answer ends in one of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import monotonic
from types import MappingProxyType
from typing import Final

import structlog
from django.conf import settings

from channels.contract import (
    ChannelError,
    ConfigurationError,
    Message,
    OnUnknown,
    PermanentError,
    RateLimited,
    Session,
    TransientError,
)
from channels.registry import Channel
from notifications import content, retry
from notifications.outbox.claim import Claim
from notifications.outbox.record import Result
from notifications.states import Event, Outcome, Status

NO_FILES: Final[content.Octets] = MappingProxyType({})

log = structlog.get_logger(__name__)


def send(
    session: Session, claim: Claim, known: Channel, *, left: timedelta | None, files: content.Octets = NO_FILES
) -> tuple[Result, ChannelError | None]:
    """Send once. `left`: of the notification's life; None for no end. `files`: those that its content names.

    The error says whether the lane should pause.
    """
    began = monotonic()
    code = detail = provider_id = ""
    failure: ChannelError | None = None
    try:
        receipt = session.send(_message(claim, known, files))
        outcome = Outcome.ACCEPTED
        code, detail, provider_id = receipt.code, receipt.detail, receipt.provider_id
    except ChannelError as error:
        failure = error
        outcome, code, detail = _outcome(error), error.code, error.detail
    except Exception as error:
        log.exception("send.unexpected", backend=known.backend.name)
        outcome, code, detail = Outcome.UNEXPECTED, type(error).__name__, "the backend failed; see the log"
    finished = monotonic()
    decision = retry.decide(
        outcome,
        tries=claim.tries,
        hold_unknown=known.on_unknown is OnUnknown.HOLD,
        retry_after=failure.retry_after if isinstance(failure, TransientError | RateLimited) else None,
        expires_in=None if left is None else left - timedelta(seconds=finished - began),
        max_tries=known.max_tries or retry.MAX_TRIES,
    )
    return Result(claim, outcome, decision, known.backend.name, began, finished, code, detail, provider_id), failure


def log_result(result: Result) -> None:
    """A line of its own for one send."""
    log.info(
        "send.finished",
        outcome=result.outcome.value,
        status=result.decision.status.value,
        code=result.code,
        backend=result.backend,
        milliseconds=round((result.finished - result.started) * 1000, 1),
    )


def unsent(claim: Claim, known: Channel) -> Result:
    """A claim given back: its send never began."""
    return _without_sending(claim, known, retry.decide(Outcome.RELEASED, tries=claim.tries, hold_unknown=False))


def expired(claim: Claim, known: Channel) -> Result:
    """A claim whose life was over before its send began."""
    decision = retry.Decision(Event.EXPIRE, Status.FAILED)
    return _without_sending(claim, known, decision, code="expired", detail="expires_at had passed")


def _without_sending(
    claim: Claim, known: Channel, decision: retry.Decision, *, code: str = "", detail: str = ""
) -> Result:
    now = monotonic()
    return Result(claim, Outcome.RELEASED, decision, known.backend.name, now, now, code, detail)


def _outcome(error: ChannelError) -> Outcome:
    match error:
        case PermanentError():
            return Outcome.PERMANENT
        case TransientError():
            return Outcome.IN_DOUBT if error.outcome_unknown else Outcome.TRANSIENT
        case RateLimited():
            return Outcome.RATE_LIMITED
        case ConfigurationError():
            return Outcome.RELEASED  # it is our account that was refused, not the message
        case _:
            return Outcome.UNEXPECTED


def _message(claim: Claim, known: Channel, files: content.Octets) -> Message:
    receipt_url = ""
    if known.backend.gives_reports and settings.PUBLIC_URL and not known.test:  # the sandbox reports nothing
        receipt_url = f"{settings.PUBLIC_URL}/api/v1/receipts/{known.name}/{claim.id}/{claim.attempt}"
    return Message(
        notification_id=claim.id,
        attempt=claim.attempt,
        to=claim.recipient,
        subject=claim.subject,
        body=claim.body,
        correlation_id=claim.correlation_id,
        created_at=datetime.fromtimestamp(claim.created, UTC),
        receipt_url=receipt_url,
        content=content.restored(content.read(claim.content), files),
    )
