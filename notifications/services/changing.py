"""What a client does with a notification of its own, after it was accepted: once for each key, where it sends one."""

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
from notifications.selectors import Wanted
from notifications.services import operating
from notifications.services.errors import Unavailable, WrongState, translated
from notifications.services.storing import Accepted, answered
from notifications.states import Status

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
) -> Accepted:
    """Return to pending those of a page (as `selectors.page`) that failed or are unknown and may still be sent.

    `tell`: of those that were, and of where the next page begins. Raises: KeyReused, Unavailable.
    """

    def resent() -> tuple[Answer, Collection[UUID]]:
        ids, following = selectors.page_of_ids(client, wanted, before=before, limit=limit)
        done = sorted(operating.resend(ids, actor=_actor(client), detail="by filter"), reverse=True)
        return tell(done, following), done

    try:
        for _ in range(2):  # a second time where the key was used meanwhile, and is free again
            if found := answered(use) or _once(use, resent):
                return found
    except DatabaseError as error:
        raise translated(error) from error
    raise Unavailable("the key's record came and went")


def resend_own(client: Client, notification_id: UUID, *, use: Use, tell: Tell) -> Accepted:
    """Return one that failed or is unknown to pending. Raises: as `_changed`."""
    return _changed(client, notification_id, partial(operating.resend, actor=_actor(client)), use, tell)


def cancel_own(client: Client, notification_id: UUID, *, use: Use, tell: Tell) -> Accepted:
    """Cancel one that is pending, failed or unknown. Raises: as `_changed`."""
    cancel = partial(operating.cancel, actor=_actor(client))
    return _changed(client, notification_id, cancel, use, tell, already=Status.CANCELED)


def reschedule_own(client: Client, notification_id: UUID, *, send_at: datetime, use: Use, tell: Tell) -> Accepted:
    """Give one that is pending another time. Raises: Refused; as `_changed`."""
    if problem := intake.wrong_send_at(send_at):
        raise Refused(problem)
    when = send_at.astimezone(UTC).isoformat()
    reschedule = partial(operating.reschedule, send_at=send_at, actor=_actor(client), detail=when)
    return _changed(client, notification_id, reschedule, use, tell, by=send_at)


def _changed(
    client: Client,
    notification_id: UUID,
    change: Change,
    use: Use,
    tell: Tell,
    *,
    already: Status | None = None,
    by: datetime | None = None,
) -> Accepted:
    """Change it and keep the answer under the key, or answer what the key was answered before.

    `already`: the status that leaves nothing to do. `by`: when it is to be sent, if not now.

    Raises: Notification.DoesNotExist, also where it is another client's; WrongState, KeyReused, Unavailable.
    """
    selectors.notification(client, notification_id)

    def changed() -> tuple[Answer, Collection[UUID]] | None:
        """What there is to tell; None where it was not changed."""
        done = change([notification_id])
        row = selectors.notification(client, notification_id)
        return (tell(row), [notification_id]) if done or row.status == already else None

    try:
        # The second look: perhaps the same request, sent twice at once, has changed it. Then both have one answer.
        if found := answered(use) or _once(use, changed) or answered(use):
            return found
    except DatabaseError as error:
        raise translated(error) from error
    raise _forbidden(selectors.notification(client, notification_id), by)


def _once(use: Use, change: Callable[[], tuple[Answer, Collection[UUID]] | None]) -> Accepted | None:
    """Change, and keep what is told of it under the key; None where nothing was, or the key was used meanwhile."""
    with transaction.atomic():
        done = change()
        if done is not None and (use.key is None or outbox.keep(use, *done)):
            told, _ = done
            return Accepted(told.status, told.location, told.body, replayed=False)
        transaction.set_rollback(True)
    return None


def _forbidden(row: Notification, by: datetime | None) -> WrongState:
    limit = max(by or datetime.min.replace(tzinfo=UTC), datetime.now(UTC))
    return WrongState(Status(row.status), expired=row.expires_at is not None and row.expires_at <= limit)


def _actor(client: Client) -> str:
    return f"client {client.name}"
