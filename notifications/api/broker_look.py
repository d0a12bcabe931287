"""What is known of the broker's server, for probes: found out beside the requests, and never waited for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, Protocol, runtime_checkable

import dramatiq
import structlog

BELIEVED_FOR: Final = 5.0  # seconds: probes come by the second, from several places, and each look is a connection
PATIENCE: Final = 0.1  # seconds that a probe waits for a look; a server that is near answers in a few milliseconds

log = structlog.get_logger(__name__)


@runtime_checkable
class Distant(Protocol):
    """A broker with a server of its own, which may be away. Postgres' own is not one."""

    def answers(self) -> bool:
        """Whether it does; may take seconds, raises nothing that is expected."""


class Look:
    """One process's word on the server; safe for threads."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._word: bool | None = None
        self._until = 0.0  # by `now`: until when the word is believed
        self._looking: threading.Thread | None = None

    def __call__(self, broker: object) -> bool | None:
        """Whether it answers; None: it has no server. While a look takes longer than PATIENCE the last word stands,
        and before there was one: no."""
        if not isinstance(broker, Distant):
            return None
        with self._lock:
            if self._word is not None and self._now() < self._until:
                return self._word
            if self._looking is None:
                self._looking = threading.Thread(target=self._look, args=(broker,), name="broker-look", daemon=True)
                self._looking.start()
            looking = self._looking
        looking.join(PATIENCE)
        return bool(self._word)

    def _look(self, broker: Distant) -> None:
        word = False
        try:
            word = broker.answers()
        except Exception:
            log.exception("broker.look_failed")  # our bug; a probe that fails by it would be worse
        finally:
            with self._lock:
                self._word, self._until, self._looking = word, self._now() + BELIEVED_FOR, None


_look = Look()


def broker_answers() -> bool | None:
    """Whether this process's broker does; None where there is none but the database."""
    return _look(dramatiq.get_broker())
