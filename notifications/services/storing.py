"""Stores what was asked for, once for each key, and knows what a key was answered. One moment's share a commit.

A transaction costs Postgres three times what the rows of one notification do, and the disk is written once for each. So
whoever comes while another's transaction is under way shares the next one with all that wait. Each still has its own
answer, its own key, and is answered only after the commit; what would hold up or fail the others is tried alone, where
it is certain that nothing was written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic
from typing import Final, NamedTuple
from uuid import UUID

from django.db import Error as DatabaseError
from django.db import connection

from notifications.outbox import accept as outbox
from notifications.outbox.accept import Asked, Inserted, Use
from notifications.outbox.statement import CommitInDoubt, connection_stands
from notifications.services.errors import KeyReused, Unavailable, translated
from notifications.together import Together

# Another request with this key is in flight: wait this long for it to end before saying so. PROVIDERS.md: 1 s.
KEY_WAIT: Final = timedelta(seconds=1)
KEY_WAIT_TOGETHER: Final = timedelta(milliseconds=20)  # the others have no part in it; whose key it is waits on alone
# Whoever has waited this long for company goes alone, and a failure that took this long is everybody's: their clients
# wait, too.
PATIENCE: Final = 0.5  # seconds
INSERT_TRIES: Final = 3  # a key can vanish between insert and read: its transaction rolled back, or it was purged


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to an accepted request, byte for byte the same at every replay of its key."""

    status: int
    location: str  # "" of a batch
    body: bytes
    replayed: bool

    @property
    def notification_id(self) -> UUID:
        return UUID(json.loads(self.body)["id"])

    @property
    def notification_ids(self) -> list[UUID]:
        """Of a batch, in its order."""
        return [UUID(each["id"]) for each in json.loads(self.body)["notifications"]]


class Suppressed(Exception):
    """Raised when nothing is sent to some of the recipients; nothing was stored."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        super().__init__("suppressed")
        self.reasons = reasons  # by `NewNotification.address`


def stored(asked: Asked) -> Accepted:
    """What its key was answered; now, if it was new. Raises: Suppressed, KeyReused, KeyInUse, Unavailable."""
    try:
        for _ in range(INSERT_TRIES):
            inserted = _insert(asked)
            if asked.first in inserted.new:
                answer = asked.answer
                return Accepted(answer.status, answer.location, answer.body, replayed=False)
            if reasons := inserted.suppressed.get(asked.first):
                if found := replayed(asked.use):
                    return found
                raise Suppressed(reasons)
            if found := answered(asked.use):
                return found
    except DatabaseError as error:
        raise translated(error) from error
    raise Unavailable("the key's record came and went; a transaction at READ COMMITTED would have seen it")


def answered(use: Use) -> Accepted | None:
    """What this key was answered before; None where it is free. Raises: KeyReused; django.db's errors."""
    record = outbox.read_record(use)
    if record is None:
        return None
    if record.fingerprint != use.fingerprint:
        raise KeyReused("this key was used for a different request")
    return Accepted(record.answer.status, record.answer.location, record.answer.body, replayed=True)


def replayed(use: Use) -> Accepted | None:
    """What was accepted under this key stays accepted, whatever would forbid it now; None where nothing was, or
    something else. Raises: django.db's errors."""
    try:
        return answered(use)
    except KeyReused:
        return None


def _insert(asked: Asked) -> Inserted:
    if connection.in_atomic_block:
        return outbox.insert([asked])  # with the caller's rows; the wait for a key is the caller's to bound
    # A batch is worth a transaction of its own, and files hold up nobody else: they take long, and may wait for others.
    if len(asked.notifications) == 1 and not asked.has_files:
        shared = _company.ask(asked)
        if shared.failure is not None:
            raise shared.failure
        if shared.inserted is not None:
            return shared.inserted
    return outbox.insert([asked], key_wait=KEY_WAIT)


class _Shared(NamedTuple):
    """What came of several at once. Of neither is known: each must be tried alone, and nothing was written."""

    inserted: Inserted | None = None
    failure: DatabaseError | None = None


def _insert_together(asked: Sequence[Asked]) -> _Shared:
    began = monotonic()
    try:
        return _Shared(inserted=outbox.insert(asked, key_wait=KEY_WAIT_TOGETHER))
    except CommitInDoubt as error:
        return _Shared(failure=error)
    except DatabaseError as error:
        worth_trying = outbox.waited_for_key(error) or (len(asked) > 1 and monotonic() - began < PATIENCE)
        # Where the session went with it, the commit may have come first: what is not known is not tried again.
        return _Shared() if worth_trying and connection_stands() else _Shared(failure=error)


_company = Together(_insert_together, patience=PATIENCE)
