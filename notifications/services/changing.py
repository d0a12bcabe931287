"""What a client does with a notification of its own, after it was accepted: once for each key, where it sends one.

`test`: whether it asks with a test key, which finds test notifications alone; a live one finds none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime
from functools import partial
from typing import Final
from uuid import UUID

from django.db import Error as DatabaseError
from django.db import transaction

from notifications import intake, selectors
from notifications.intake import Refused
from notifications.models import Client, Notification
from notifications.outbox import accept as outbox
from notifications.outbox.accept import Answer, Use
from notifications.outbox.suppressed import is_suppressed
from notifications.selectors import Wanted
from notifications.services import operating
from notifications.services.errors import Unavailable, WrongState, translated
from notifications.services.storing import Accepted, answered
from notifications.states import Event, Status, sources

Change = Callable[[Collection[UUID]], Collection[UUID]]  # those that were changed
Tell = Callable[[Notification], Answer]  # what the client is told of it
MOST_RESENT: Final = 1000  # by one request


def resend_matching(
    client: Client,
    wanted: Wanted,
    *,
    before: UUID | None,
    limit: int,
    use: Use,
    tell: Callable[[Collection[UUID], UUID | None], Answer],
    test: bool = False,
) -> Accepted:
    """Return to pending those of a page (as `selectors.page`) that failed or are unknown and may still be sent.

    `tell`: of those that were, and of where the next page begins. Raises: KeyReused, Unavailable.
    """

    def resent() -> tuple[Answer, Collection[UUID]]:
        ids, following = selectors.page_of_ids(client, wanted, before=before, limit=limit, test=test)
        done = sorted(operating.resend(ids, actor=_actor(client), detail="by filter"), reverse=True)
        return tell(done, following), done

    try:
        for _ in range(2):  # a second time where the key was used meanwhile, and is free again
            if found := answered(use) or _once(use, resent):
                return found
    except DatabaseError as error:
        raise translated(error) from error
    raise Unavailable("the key's record came and went")


def resend_own(client: Client, notification_id: UUID, *, use: Use, tell: Tell, test: bool = False) -> Accepted:
    """Return one that failed or is unknown to pending. Raises: as `_changed`."""
    resend = partial(operating.resend, actor=_actor(client))
    return _changed(client, notification_id, Event.REPLAY, resend, use, tell, test=test)


def cancel_own(client: Client, notification_id: UUID, *, use: Use, tell: Tell, test: bool = False) -> Accepted:
    """Cancel one that is pending, failed or unknown. Raises: as `_changed`."""
    cancel = partial(operating.cancel, actor=_actor(client))
    return _changed(client, notification_id, Event.CANCEL, cancel, use, tell, test=test, already=Status.CANCELED)


def reschedule_own(
    client: Client, notification_id: UUID, *, send_at: datetime, use: Use, tell: Tell, test: bool = False
) -> Accepted:
    """Give one that is pending another time. Raises: Refused; as `_changed`."""
    if problem := intake.wrong_send_at(send_at):
        raise Refused(problem)
    when = send_at.astimezone(UTC).isoformat()
    reschedule = partial(operating.reschedule, send_at=send_at, actor=_actor(client), detail=when)
    return _changed(client, notification_id, Event.RESCHEDULE, reschedule, use, tell, test=test, by=send_at)


def _changed(
    client: Client,
    notification_id: UUID,
    event: Event,
    change: Change,
    use: Use,
    tell: Tell,
    *,
    test: bool,
    already: Status | None = None,
    by: datetime | None = None,
) -> Accepted:
    """Change it by an edge and keep the answer under the key, or answer what the key was answered before.

    `already`: the status that leaves nothing to do. `by`: when it is to be sent, if not now.

    Raises: Notification.DoesNotExist, also where it is another client's or of the other mode; WrongState, KeyReused,
    Unavailable.
    """
    selectors.notification(client, notification_id, test=test)

    def changed() -> tuple[Answer, Collection[UUID]] | None:
        """What there is to tell; None where it was not changed."""
        done = change([notification_id])
        row = selectors.notification(client, notification_id, test=test)
        return (tell(row), [notification_id]) if done or row.status == already else None

    try:
        # The second look: perhaps the same request, sent twice at once, has changed it. Then both have one answer.
        if found := answered(use) or _once(use, changed) or answered(use):
            return found
    except DatabaseError as error:
        raise translated(error) from error
    raise _forbidden(selectors.notification(client, notification_id, test=test), event, by)


def _once(use: Use, change: Callable[[], tuple[Answer, Collection[UUID]] | None]) -> Accepted | None:
    """Change, and keep what is told of it under the key; None where nothing was, or the key was used meanwhile."""
    with transaction.atomic():
        done = change()
        if done is not None and (use.key is None or outbox.keep(use, *done)):
            told, _ = done
            return Accepted(told.status, told.location, told.body, replayed=False)
        transaction.set_rollback(True)
    return None


def _forbidden(row: Notification, event: Event, by: datetime | None) -> WrongState:
    limit = max(by or datetime.min.replace(tzinfo=UTC), datetime.now(UTC))
    status, expired = Status(row.status), row.expires_at is not None and row.expires_at <= limit
    to_resend = event is Event.REPLAY and status in sources(event)
    if to_resend and row.redacted_at is not None:
        return WrongState(status, redacted=True)
    return WrongState(status, expired=expired, suppressed=to_resend and not expired and is_suppressed(row))


def _actor(client: Client) -> str:
    return f"client {client.name}"
