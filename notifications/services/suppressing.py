"""The suppression list as operators keep it: what providers refuse comes to it by the workers."""

from __future__ import annotations

from collections.abc import Collection

import structlog

from notifications import intake
from notifications.models import Suppression
from notifications.outbox import suppress as outbox
from notifications.outbox.suppress import Suppressed
from notifications.states import Reason

log = structlog.get_logger(__name__)


def suppress(
    channel: str, to: str, *, actor: str, reason: Reason = Reason.MANUAL, detail: str = "", test: bool = False
) -> bool:
    """Send nothing more to a recipient over a channel; False where that was so. `test`: only what test keys ask for.

    What is pending for it fails when it is claimed. Safe to repeat: the first reason stays. Raises: Refused, NoSandbox.
    """
    recipient = intake.normal_recipient(channel, to, test=test)
    new = outbox.add(
        [Suppressed(channel=channel, recipient=recipient, test=test, reason=reason, detail=detail, created_by=actor)]
    )
    if new:
        log.warning("recipient.suppressed", channel=channel, test=test, reason=reason.value, actor=actor)
    return bool(new)


def unsuppress(channel: str, to: str, *, actor: str, test: bool = False) -> bool:
    """Take a recipient from the list, whatever its channel takes now; False where it was not there. Safe to repeat."""
    try:
        recipient = intake.normal_recipient(channel, to, test=test)
    except (intake.Refused, intake.NoSandbox):
        recipient = to
    return bool(_removed([outbox.address(channel, recipient, test=test)], actor))


def unsuppress_all(rows: Collection[Suppression], *, actor: str) -> list[Suppression]:
    """Take these from the list; those that were there."""
    gone = _removed([row.address for row in rows], actor)
    return [row for row in rows if row.address in gone]


def _removed(addresses: Collection[str], actor: str) -> set[str]:
    gone = outbox.remove(addresses)
    if gone:
        log.warning("recipients.unsuppressed", count=len(gone), actor=actor)
    return gone
