"""Acts of operators are kept: who did what to which. Those on many notifications are asked for, and done by a relay."""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

import structlog
from django.db.models import Case, TextField, Value, When
from django.db.models.functions import Concat
from django.utils import timezone

from notifications.models import Operation
from notifications.selection import Selection

log = structlog.get_logger(__name__)


class Noted(StrEnum):
    """What operators do that is not done to notifications: their words in the audit, the same wherever it is done."""

    PAUSE = "pause"
    RESUME = "resume"
    SUPPRESS = "suppress"
    ALLOW = "allow"  # taken from the suppression list
    PURGE = "purge"
    REDACT = "redact"  # what went to somebody who asked to be forgotten
    MAKE_CLIENT = "make client"
    CHANGE_CLIENT = "change client"
    MAKE_KEY = "make key"
    REVOKE_KEY = "revoke key"
    MAKE_TEMPLATE = "make template"
    CHANGE_TEMPLATE = "change template"
    DELETE_TEMPLATE = "delete template"
    WRITE_VERSION = "write version"
    USE_VERSION = "use version"
    STOP_WEBHOOK = "stop webhook"
    MAKE_ACCOUNT = "make account"  # of a user or a group
    CHANGE_ACCOUNT = "change account"
    DELETE_ACCOUNT = "delete account"


def ask(
    act: str,
    selection: Selection,
    *,
    actor: str,
    via: Operation.Via,
    chosen: int,
    subject: str,
    rate: float | None = None,
    form: UUID | None = None,
) -> Operation:
    """Have `resend`, `cancel` or `release` done to a selection by the relays, in batches, begun within a second.

    `chosen`: how many were counted. `subject`: which they are, in words. `rate`: a second at most; for
    commands, as relays heed none. What is accepted later is not touched.
    `form`: by which it is asked for; asked for again, it is answered with what the first asked for.
    """
    fields = {
        "act": act,
        "selection": selection.frozen(timezone.now()).as_json(),
        "actor": actor,
        "via": via,
        "state": Operation.State.ASKED,
        "chosen": chosen,
        "subject": subject,
        "rate": rate,
    }
    if form is None:
        return Operation.objects.create(**fields)
    return Operation.objects.get_or_create(form=form, defaults=fields)[0]


def note(
    act: str,
    *,
    actor: str,
    via: Operation.Via,
    subject: str,
    touched: int = 1,
    detail: str = "",
    form: UUID | None = None,
) -> bool:
    """Keep that something was done; in the caller's transaction, so that neither is there without the other.

    `subject`: what it was done to, without secrets and with recipients masked. `form`: by which it is asked for; False
    where that was noted before: whoever notes first and then acts does nothing more for a form that is sent twice.
    """
    fields = {
        "act": act,
        "actor": actor,
        "via": via,
        "subject": subject,
        "touched": touched,
        "detail": detail,
        "finished_at": timezone.now(),
    }
    if form is None:
        Operation.objects.create(**fields)
        return True
    return Operation.objects.get_or_create(form=form, defaults=fields)[1]


def go_on_with(operation: Operation, *, actor: str) -> Operation:
    """Keep who goes on with a command's act that was interrupted, whoever began it.

    Added by the database: two may go on with it at once, and neither takes the other's name away.
    """
    again = f"gone on with by {actor} at {timezone.now():%Y-%m-%d %H:%M:%S} UTC"
    added = Case(
        When(detail="", then=Value(again, TextField())), default=Concat("detail", Value(f"; {again}", TextField()))
    )
    Operation.objects.filter(pk=operation.pk).update(detail=added)
    operation.refresh_from_db(fields=["detail"])
    log.warning("operation.gone_on_with", operation=operation.pk, by=actor)
    return operation


def stop_operation(id_: int, *, actor: str) -> bool:
    """End one after the batch that is under way; whether it was. Safe to repeat.

    A command's, too: its terminal may be gone, and it would be under way for ever.
    """
    unfinished = [Operation.State.ASKED, Operation.State.RUNNING]
    stopped = Operation.objects.filter(pk=id_, state__in=unfinished).update(
        state=Operation.State.STOPPED, finished_at=timezone.now()
    )
    if stopped:
        log.warning("operation.stopped", operation=id_, by=actor)
    return bool(stopped)


def resume_operation(id_: int, *, actor: str) -> bool:
    """Let the relays go on with one of theirs that was stopped, where it was; whether it was. Safe to repeat."""
    resumed = Operation.objects.filter(
        pk=id_, via=Operation.Via.ADMIN, state=Operation.State.STOPPED, selection__isnull=False
    ).update(state=Operation.State.ASKED, finished_at=None)
    if resumed:
        log.warning("operation.resumed", operation=id_, by=actor)
    return bool(resumed)
