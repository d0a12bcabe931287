"""Before one that may have been sent is sent again: each provider that may have it is asked, whoever sends it now.

A wrong yes would lose a message, a wrong no doubles one and marks it: in doubt the answer is no.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import structlog
from django.db import Error as DatabaseError

from channels.contract import ChannelError, Message, PermanentError, Receipt, TransientError, Unacceptable
from channels.registry import Channel, backends_of
from notifications.outbox import found
from notifications.outbox.claim import Claim
from notifications.outbox.statement import give_back

# The attempt's start is by the database's clock, the message's by the provider's, in whole seconds.
SKEW: Final = timedelta(seconds=5)
DETAIL: Final = "found at the provider: an earlier attempt had sent it"

log = structlog.get_logger(__name__)


class Found(NamedTuple):
    """What came of it, and the name of the backend whose provider has it: of the one that sends, where none has."""

    receipt: Receipt | None
    backend: str


def find(claim: Claim, message: Message, known: Channel) -> Found:
    """The message of an earlier attempt, at the provider of that attempt; None: send it.

    Raises: ChannelError where it cannot be known, with nothing sent by this attempt. Another backend's provider that
    cannot be asked is passed over: it may be away for as long as that other one is there to send. No transaction is
    open while a provider is waited for.
    """
    try:
        doubtful = found.doubtful_since(claim.id)
        give_back()
        for each in backends_of(known):
            began = [doubtful[name] for name in (each.backend.name, found.UNNAMED) if name in doubtful]
            if not began or not each.backend.looks_up:
                continue
            since = min(began) - SKEW
            taken = _taken(message, claim, each, known, since=since)
            if provider_id := found.keep(claim, taken, since=since):
                log.info("look_up.finished", backend=each.head, candidates=len(taken), is_there=True)
                return Found(Receipt(provider_id=provider_id, code=found.CODE, detail=DETAIL), each.backend.name)
            give_back()
            log.info("look_up.finished", backend=each.head, candidates=len(taken), is_there=False)
    except DatabaseError as error:
        log.warning("look_up.failed", error=type(error).__name__)
        raise _not_now("database", "the database could not say whose the provider's messages are") from None
    except found.NotOurs:
        raise _not_now("claim_lost", "the claim was taken away during the look-up") from None
    finally:
        give_back()
    return Found(None, known.backend.name)


def _taken(message: Message, claim: Claim, each: Channel, known: Channel, *, since: datetime) -> list[str]:
    """The provider's names for what it has and has not given up. Raises: as `find`."""
    if each is known:
        return [receipt.provider_id for receipt in _asked(message, known, since=since) if not receipt.code]
    try:
        to = each.backend.validate(to=claim.recipient, subject=claim.subject, body=claim.body)
        receipts = each.backend.look_up(message._replace(to=to), since=since)
    except (ChannelError, Unacceptable) as error:
        log.warning("look_up.not_answered", backend=each.head, code=error.code)
        return []
    except Exception:  # our bug, and none of the one that sends
        log.exception("look_up.unexpected", backend=each.head)
        return []
    return [receipt.provider_id for receipt in receipts if not receipt.code]


def _asked(message: Message, known: Channel, *, since: datetime) -> Sequence[Receipt]:
    """What the provider has. What it refuses or leaves unanswered is the look-up, and never the message."""
    try:
        return known.backend.look_up(message, since=since)
    except PermanentError as error:
        raise _not_now(error.code, error.detail) from None
    except TransientError as error:
        raise TransientError(
            error.code,
            _before(error.detail),
            outcome_unknown=False,
            retry_after=error.retry_after,
            rests=error.rests,
            isolated=error.isolated,
        ) from None


def _not_now(code: str, detail: str) -> TransientError:
    return TransientError(code, _before(detail), outcome_unknown=False, isolated=True)


def _before(detail: str) -> str:
    return f"looking it up before it is sent again: {detail}"
