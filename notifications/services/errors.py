"""Why an accepting service could not answer, in words of its own."""

from __future__ import annotations

from typing import Final

import structlog
from django.db import Error as DatabaseError

from notifications.outbox import accept as outbox
from notifications.outbox.statement import sqlstate
from notifications.states import Status

_LOCK_NOT_AVAILABLE: Final = "55P03"
# Connection trouble, out of resources, shutting down, read-only (a standby), lock, deadlock: not the request's fault.
_UNAVAILABLE: Final = ("08", "53", "57", "58", "25006", "55", "40")

log = structlog.get_logger(__name__)


class KeyReused(Exception):
    """Raised when the key was used for a different request."""


class KeyInUse(Exception):
    """Raised when another request with this key is still in flight after a second."""


class Unavailable(Exception):
    """Raised when the database cannot say: try again with the same key. Whether it was accepted may be unknown."""


class WrongState(Exception):
    """Raised when what a notification has come to forbids what is asked of it."""

    def __init__(
        self, status: Status, *, expired: bool = False, suppressed: bool = False, redacted: bool = False
    ) -> None:
        super().__init__(status.value)
        self.status = status
        self.expired = expired  # its life is over, or would be by the time asked for
        self.redacted = redacted  # nobody knows any more to whom it went, and what it said
        self.suppressed = suppressed  # it could be sent again, but nothing is sent to its recipient


class WebhookConflict(Exception):
    """Raised when a client's webhooks, as they are, leave no room for what is asked."""


def translated(error: DatabaseError) -> Exception:
    """KeyInUse or Unavailable, or the error itself where it is our own fault."""
    state = sqlstate(error)
    if state == _LOCK_NOT_AVAILABLE and outbox.waited_for_key(error):
        return KeyInUse("another request with this key is in flight")
    if not state or state.startswith(_UNAVAILABLE):
        log.warning("database.unavailable", error=type(error).__name__, sqlstate=state)
        return Unavailable("the database did not answer")
    return error
