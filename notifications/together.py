"""One call for what several threads ask: a statement and its commit cost little more for ten than for one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")


class Together(Generic[Ask, Answer]):
    """Shared by threads. Of those that ask while a call is under way, one makes the next for all of them."""

    def __init__(self, call: Callable[[Sequence[Ask]], Answer], *, patience: float | None = None) -> None:
        """`call` may be repeated for an ask after it has failed for it among others.

        `patience`: seconds to wait for others' calls, then it is called for alone, beside them; None for no end.
        """
        self._call = call
        self._patience = patience
        self._lock = threading.Lock()
        self._waiting: list[_Asked[Ask, Answer]] = []
        self._calling = False

    def ask(self, ask: Ask) -> Answer:
        """The answer to all that were asked together. Raises: what `call` does."""
        mine: _Asked[Ask, Answer] = _Asked(ask)
        with self._lock:
            self._waiting.append(mine)
            leads, self._calling = not self._calling, True
        if not leads:
            if not mine.turn.wait(self._patience) and self._left(mine):
                return self._call([ask])
            mine.turn.wait()
            leads = not mine.called
        if leads:
            return self._lead()
        # Whoever called for us failed, perhaps for the sake of another's ask.
        return self._call([ask]) if mine.answer is None else mine.answer

    def _left(self, mine: _Asked[Ask, Answer]) -> bool:
        """Whether it was waiting still, and does so no longer."""
        with self._lock:
            if mine.turn.is_set() or mine not in self._waiting:
                return False
            self._waiting.remove(mine)
            return True

    def _lead(self) -> Answer:
        with self._lock:
            together, self._waiting = self._waiting, []
        answer: Answer | None = None
        try:
            answer = self._call([asked.ask for asked in together])
        finally:
            for asked in together:
                asked.answer, asked.called = answer, True
                asked.turn.set()
            with self._lock:
                self._calling = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].turn.set()
        return answer


class _Asked(Generic[Ask, Answer]):
    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.answer: Answer | None = None
        self.called = False
        self.turn = threading.Event()  # it was called for this one too, or it is this one's turn to call
