"""A provider that answers each request as a test told it, in turn."""

from __future__ import annotations

from tests.contract.stand_in import Answer, HttpStandIn


class Answering(HttpStandIn):
    """`answers`, and after them `yes` to all."""

    def __init__(self, yes: Answer) -> None:
        super().__init__()
        self.answers: list[Answer] = []
        self._yes = yes

    @property
    def answer(self) -> Answer:  # type: ignore[override]
        return self.answers.pop(0) if self.answers else self._yes

    @answer.setter
    def answer(self, answer: Answer) -> None:
        self._yes = answer
