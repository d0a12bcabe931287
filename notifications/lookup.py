"""Before one that may have been sent is sent again: the provider is asked whether it has it.

A wrong yes would lose a message, a wrong no doubles one and marks it: in doubt the answer is no.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import Error as DatabaseError

from channels.contract import Message, PermanentError, Receipt, TransientError
from channels.registry import Channel
from notifications.outbox import found
from notifications.outbox.claim import Claim
from notifications.outbox.statement import give_back

# The attempt's start is by the database's clock, the message's by the provider's, in whole seconds.
SKEW: Final = timedelta(seconds=5)
DETAIL: Final = "found at the provider: an earlier attempt had sent it"

log = structlog.get_logger(__name__)


def find(claim: Claim, message: Message, known: Channel) -> Receipt | None:
    """The message of an earlier attempt, at the provider; None: send it.

    Raises: ChannelError where it cannot be known, with nothing sent by this attempt. No transaction is open while the
    provider is waited for.
    """
    try:
        began = found.doubtful_since(claim.id)
        give_back()
        if began is None:
            return None
        since = began - SKEW
        taken = [each.provider_id for each in _asked(message, known, since=since) if not each.code]
        provider_id = found.keep(claim, taken, since=since)
    except DatabaseError as error:
        log.warning("look_up.failed", error=type(error).__name__)
        raise _not_now("database", "the database could not say whose the provider's messages are") from None
    except found.NotOurs:
        raise _not_now("claim_lost", "the claim was taken away during the look-up") from None
    finally:
        give_back()
    log.info("look_up.finished", candidates=len(taken), is_there=bool(provider_id))
    return Receipt(provider_id=provider_id, code=found.CODE, detail=DETAIL) if provider_id else None


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
