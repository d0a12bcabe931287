"""Acts of operators are kept: who did what to which. Those on many notifications are asked for, and done by a relay."""

from __future__ import annotations

from django.utils import timezone

from notifications.models import Operation
from notifications.selection import Selection

ON_NOTIFICATIONS = ("resend", "cancel", "release")


def ask(
    act: str,
    selection: Selection,
    *,
    actor: str,
    via: Operation.Via,
    chosen: int,
    subject: str,
    rate: float | None = None,
) -> Operation:
    """Have one of ON_NOTIFICATIONS done to a selection by the relays, in batches; it is begun within a second.

    `chosen`: how many were counted. `subject`: which they are, in words. `rate`: notifications a second at most.
    What is accepted later is not touched.
    """
    return Operation.objects.create(
        act=act,
        selection=selection.frozen(timezone.now()).as_json(),
        actor=actor,
        via=via,
        state=Operation.State.ASKED,
        chosen=chosen,
        subject=subject,
        rate=rate,
    )


def note(act: str, *, actor: str, via: Operation.Via, subject: str, touched: int = 1, detail: str = "") -> Operation:
    """Keep that something was done; in the caller's transaction, so that neither is there without the other."""
    return Operation.objects.create(
        act=act, actor=actor, via=via, subject=subject, touched=touched, detail=detail, finished_at=timezone.now()
    )
