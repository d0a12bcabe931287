"""A worker's thread, as far as the tables see it: claims that begin where the cursors say."""

from __future__ import annotations

from notifications.cursors import Cursors
from notifications.outbox.claim import Claim, claim
from notifications.states import Priority

from . import rows

LANE = "slack:ops"


class Drain:
    def __init__(self, **options: float) -> None:
        self.cursors = Cursors(**options)
        self.worker = rows.worker()

    def claim(self, *, in_full_flow: bool, batch: int = 10, first: Priority = Priority.HIGH) -> list[Claim]:
        stretches, whole = self.cursors.begin(LANE, in_full_flow=in_full_flow, first=first)
        claims = claim(LANE, worker_id=self.worker, batch=batch, started=True, stretches=stretches)
        self.cursors.advance(LANE, claims, whole=whole, took=0.0)
        return claims
