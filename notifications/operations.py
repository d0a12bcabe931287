"""What operators asked for of many notifications, done by the relays: a batch at a time, each one transaction.

The place behind which the next batch begins is written with what this one did: a worker that dies repeats nothing and
loses nothing, and two that take turns, or stop in the middle, do each notification once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from django.utils import timezone

from notifications import services
from notifications.beside import Beside
from notifications.models import Operation
from notifications.outbox.statement import give_back
from notifications.replay import replayable
from notifications.selection import Selection
from notifications.states import Event, sources
from notifications.walking import walk

BATCH: Final = 500  # notifications in one transaction: row locks for tens of milliseconds
PATIENCE: Final = 30.0  # seconds without a word, after which it looks by itself

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Act:
    event: Event
    do: Callable[..., set[UUID]]
    narrow: Callable[[list[UUID]], list[UUID]] = list  # without what it would leave alone from the beginning


ACTS: Final[Mapping[str, Act]] = {
    "resend": Act(Event.REPLAY, services.resend, replayable),
    "cancel": Act(Event.CANCEL, services.cancel),
    "release": Act(Event.RELEASE, services.release),
}


@dataclass(frozen=True, slots=True)
class Batch:
    """One transaction's work."""

    touched: frozenset[UUID] = frozenset()


_WAYS: Final = {Operation.Via.ADMIN: "admin", Operation.Via.COMMAND: "manage.py replay_outbox"}  # for the timeline


def step(own: int | None = None, *, size: int | None = None) -> Batch | None:
    """Do the next batch of the oldest act that no other relay has in hands; None where there is none.

    `own`: of this one, which a command does by itself. `size`: of the batch, where it is less than BATCH.
    Raises: django.db.Error; nothing was done then.
    """
    with transaction.atomic():
        waiting = Operation.objects.filter(state__in=[Operation.State.ASKED, Operation.State.RUNNING])
        waiting = waiting.filter(via=Operation.Via.ADMIN) if own is None else waiting.filter(pk=own)
        operation = waiting.select_for_update(skip_locked=True).order_by("id").first()
        if operation is None:
            return None
        try:
            act, selection = ACTS[operation.act], Selection.from_json(operation.selection or {})
        except (KeyError, TypeError, ValueError):  # of another version of ours: it must not stand before the others
            log.exception("operation.not_understood", operation=operation.pk, act=operation.act)
            operation.detail = f"{operation.detail} not understood by this version".strip()
            _end(operation, Operation.State.STOPPED)
            return Batch()
        return _batch(operation, act, selection, min(size or BATCH, BATCH))


def _batch(operation: Operation, act: Act, selection: Selection, size: int) -> Batch:
    allowed = sources(act.event)
    statuses = (selection.statuses & allowed) if selection.statuses else allowed
    if not statuses:
        _end(operation, Operation.State.DONE)
        return Batch()
    found = walk(replace(selection, statuses=statuses), size=size, after=operation.after, newest=False)
    ids = act.narrow(found.ids)
    touched = act.do(ids, actor=operation.actor, detail=_WAYS[Operation.Via(operation.via)]) if ids else set()
    operation.touched += len(touched)
    operation.left_alone += len(ids) - len(touched)
    operation.after = found.onward or (found.ids[-1] if found.ids else operation.after)
    if found.onward is None:
        _end(operation, Operation.State.DONE)
    else:
        operation.state = Operation.State.RUNNING
        operation.save(update_fields=["state", "touched", "left_alone", "after"])
    return Batch(frozenset(touched))


def _end(operation: Operation, state: Operation.State) -> None:
    operation.state, operation.finished_at = state, timezone.now()
    operation.save(update_fields=["state", "touched", "left_alone", "after", "finished_at", "detail"])
    log.info(
        "operation.ended",
        operation=operation.pk,
        act=operation.act,
        by=operation.actor,
        state=state.value,
        touched=operation.touched,
        left_alone=operation.left_alone,
    )


class Operator(Beside):
    """Does them, a batch at a time."""

    name, retried, unexpected = "operations", "operation.retried", "operation.unexpected"
    last_turn = 5.0  # seconds: a batch takes some hundred milliseconds

    def _patience(self) -> float:
        return PATIENCE

    def _turn(self) -> None:
        while not self._stopping.is_set() and step() is not None:
            give_back()
