"""Slack at the wire, as a test wants it: it notes when each request came, and answers what it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from time import monotonic

from tests.contract.stand_in import Answer, HttpStandIn, http_answer

OK = http_answer(200, b"ok")
BUSY = http_answer(408)  # transient: certainly not sent


def too_many(retry_after: int) -> bytes:
    return http_answer(429, Retry_After=str(retry_after))


class Clocked(HttpStandIn):
    """`say` is given how many requests came before, and answers."""

    def __init__(self, say: Callable[[int], Answer] = lambda _: OK) -> None:
        super().__init__()
        self.moments: list[float] = []
        self.say = say
        self._counting = threading.Lock()

    @property
    def answer(self) -> Answer:  # type: ignore[override] - each request asks for its own
        with self._counting:
            before = len(self.moments)
            self.moments.append(monotonic())
        return self.say(before)

    @answer.setter
    def answer(self, _: Answer) -> None:
        pass

    def environment(self, *names: str) -> dict[str, str]:
        """Webhooks of these names (`default` for none) that lead here."""
        hooks = ",".join(f"{name}=http://127.0.0.1:{self.port}/services/T0/B0/{name}" for name in names or ["default"])
        return {"SLACK_WEB_HOOK_URL": "", "SLACK_WEBHOOKS": hooks}

    def gaps(self) -> list[float]:
        """Seconds from each request to the next."""
        return [after - before for before, after in pairwise(self.moments)]

    def most_in(self, seconds: float) -> int:
        """The most requests that came in any stretch of so long."""
        return max(sum(1 for other in self.moments if 0 <= other - moment < seconds) for moment in self.moments)
