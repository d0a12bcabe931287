"""One send: from a claim to the result that will be recorded. Everything a backend can answer ends in one of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from time import monotonic
from types import MappingProxyType
from typing import Final

import structlog
from django.conf import settings
from django.db import Error as DatabaseError

from channels.contract import (
    ChannelError,
    ConfigurationError,
    Message,
    OnUnknown,
    PermanentError,
    RateLimited,
    Session,
    TransientError,
    Unacceptable,
)
from channels.registry import Channel, backends_of
from notifications import content, lookup, retry
from notifications.outbox import keys
from notifications.outbox.claim import Claim
from notifications.outbox.record import Result
from notifications.outbox.statement import give_back
from notifications.outbox.suppress import SUPPRESSING, Suppressed
from notifications.states import Event, Outcome, Status

NO_FILES: Final[content.Octets] = MappingProxyType({})

log = structlog.get_logger(__name__)


def send(
    session: Session,
    claim: Claim,
    lane: str,
    known: Channel,
    *,
    left: timedelta | None,
    key_left: timedelta | None = None,
    files: content.Octets = NO_FILES,
) -> tuple[Result, ChannelError | None]:
    """Send once; not at all what an earlier attempt turns out to have sent.

    `left`: of the notification's life; None for no end. `key_left`: where an earlier send may have been taken, for how
    long the provider knows its key. `files`: those that its content names. The error says whether the lane should
    pause.
    """
    began = monotonic()
    code = detail = provider_id = ""
    backend = known.backend.name
    failure: ChannelError | None = None
    try:
        message = _message(claim, known, files)
        receipt = None
        if claim.possible_duplicate and any(each.backend.looks_up for each in backends_of(known)):
            receipt, backend = lookup.find(claim, message, known)
            if receipt is None and left is not None and monotonic() - began >= left.total_seconds():
                return expired(claim, known), None
        receipt = receipt or session.send(message)
        outcome = Outcome.ACCEPTED
        code, detail, provider_id = receipt.code, receipt.detail, receipt.provider_id
    except ChannelError as error:
        failure = error
        outcome, code, detail = _outcome(error), error.code, error.detail
    except Exception as error:
        log.exception("send.unexpected", backend=backend)
        outcome, code, detail = Outcome.UNEXPECTED, type(error).__name__, "the backend failed; see the log"
    finished = monotonic()
    result = Result(claim, outcome, retry.ACCEPTED, backend, began, finished, code, detail, provider_id)
    return result if outcome is Outcome.ACCEPTED else _decided(result, failure, lane, known, left, key_left), failure


def _decided(
    result: Result,
    failure: ChannelError | None,
    lane: str,
    known: Channel,
    left: timedelta | None,
    key_left: timedelta | None,
) -> Result:
    """The same with what follows, and where. `left`, `key_left`: at the beginning of the send."""
    claim, took = result.claim, timedelta(seconds=result.finished - result.started)
    in_doubt = result.outcome in {Outcome.IN_DOUBT, Outcome.UNEXPECTED}
    if key_left is not None:
        key_left -= took
    elif in_doubt:
        key_left = _key_life(claim, known, took)
    decision = retry.decide(
        result.outcome,
        tries=claim.tries,
        hold_unknown=known.on_unknown is OnUnknown.HOLD,
        retry_after=failure.retry_after if isinstance(failure, TransientError | RateLimited) else None,
        expires_in=None if left is None else left - took,
        max_tries=known.max_tries or retry.MAX_TRIES,
        backends=_takers(claim, known, failure),
        current=known.backup,
        key_left=None if key_left is None else key_left - known.backend.send_timeout,
        unsettled=claim.key_left is not None,
    )
    other = next((each for each in backends_of(known) if each.backup == decision.backend), None)
    return result._replace(
        decision=decision,
        lane="" if other is None else other.instead_of(lane),
        key_left=key_left.total_seconds() if key_left is not None and in_doubt and decision.under_key else None,
    )


def _takers(claim: Claim, known: Channel, failure: ChannelError | None) -> list[str]:
    """The names of the channel's backends that would take it, this one among them; none where no other has its turn."""
    if isinstance(failure, TransientError) and failure.isolated:
        return []  # no other provider would do better
    has = content.names(claim.content)
    return [
        each.backup
        for each in backends_of(known)
        if each is known or each.takes(to=claim.recipient, subject=claim.subject, body=claim.body, content=has)
    ]


def _key_life(claim: Claim, known: Channel, took: timedelta) -> timedelta | None:
    """For how long the provider knows the key of a send that took so long and is in doubt; None: it takes none."""
    whole = known.backend.deduplicates_for
    if whole is None or claim.attempt == 1:
        return None if whole is None else whole - took
    try:
        return whole - max(took, keys.since_first_send(claim.id, known.backend.name))
    except DatabaseError:
        return None  # as if it took no key: the policy never doubles without a mark
    finally:
        give_back()


def forgets(known: Channel, key_left: timedelta) -> bool:
    """Whether the provider may have forgotten the key before a send that begins now has ended."""
    return known.backend.deduplicates_for is None or key_left <= known.backend.send_timeout


def forgotten(claim: Claim, known: Channel) -> Result:
    """A claim that may double, and that no key keeps from it any more: its send does not begin."""
    decision = retry.without_send(hold_unknown=known.on_unknown is OnUnknown.HOLD)
    return _without_sending(claim, known, decision, code="key_over", detail="its provider may have forgotten its key")


def suppressed_by(failure: ChannelError, claim: Claim, known: Channel) -> Suppressed | None:
    """The recipient of a claim, if this answer of its provider says that nothing should be sent there again."""
    if not isinstance(failure, PermanentError) or failure.refuses not in SUPPRESSING:
        return None
    return Suppressed(
        channel=known.name,
        recipient=claim.recipient,
        test=known.test,
        reason=SUPPRESSING[failure.refuses],
        detail=failure.detail,
        source=failure.code,
        notification_id=claim.id,
        created_by=known.backend.name,
    )


def is_success(result: Result, known: Channel) -> bool:
    """Whether its own provider has taken it; what another one's was found to have says nothing of that."""
    return result.outcome is Outcome.ACCEPTED and result.backend == known.backend.name


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
    if claim.key_left is not None:
        decision = retry.Decision(Event.EXPIRE, Status.UNKNOWN, possible_duplicate=True)
    return _without_sending(claim, known, decision, code="expired", detail="expires_at had passed")


def suppressed(claim: Claim, known: Channel) -> Result:
    """A claim whose recipient is on the suppression list: nothing is sent there."""
    decision = retry.Decision(Event.SUPPRESS, Status.FAILED)
    detail = f"the recipient is on the suppression list ({claim.suppressed})"
    return _without_sending(claim, known, decision, code="suppressed", detail=detail)


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
        receipt_url = f"{settings.PUBLIC_URL}/api/v1/receipts/{known.head}/{claim.id}/{claim.attempt}"
    to = claim.recipient
    if known.backup:
        try:
            to = known.backend.validate(to=to, subject=claim.subject, body=claim.body)
        except Unacceptable as error:  # the settings have changed since it was given to this one
            refusal = TransientError(error.code, "this backend does not take it", outcome_unknown=False)
            raise refusal from None
        if lost := content.names(claim.content) - known.backend.carries:  # or it was, by a worker that did not look
            detail = f"this backend would leave out what it has beyond its text: {', '.join(sorted(lost))}"
            raise TransientError("not_carried", detail, outcome_unknown=False)
    return Message(
        notification_id=claim.id,
        attempt=claim.attempt,
        to=to,
        subject=claim.subject,
        body=claim.body,
        correlation_id=claim.correlation_id,
        created_at=datetime.fromtimestamp(claim.created, UTC),
        receipt_url=receipt_url,
        content=content.restored(content.read(claim.content), files),
    )
