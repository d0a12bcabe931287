"""The thread of each worker that wakes it for what falls due, recovers abandoned claims, fails what expired, and has
done what operators asked for and what is to be done on time.

It needs no broker: with every nudge lost, each lane is looked at once a second all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Set
from time import monotonic
from typing import Final
from uuid import UUID

import structlog
from django.db import Error as DatabaseError

from notifications import counting, nudge
from notifications.actors import Actors
from notifications.chores import Housekeeper
from notifications.cursors import WHOLE_SHARE
from notifications.delivery import Delivery
from notifications.diversion import AT_MOST, Diversion
from notifications.operations import Operator
from notifications.outbox import channel_rules, operate, recover, workers
from notifications.outbox.statement import give_back

LOOK_EVERY: Final = 1.0  # seconds: what a lost nudge costs at most
AGAIN_AFTER: Final = 0.05  # seconds between looks at the least, whatever the news
WHOLE_AT_MOST: Final = 10.0  # seconds between looks at everything: what made one slow may have been a stall, no price
BEFORE_LEASE: Final = 0.1  # seconds: at the start of a process, or after it lost its lease

log = structlog.get_logger(__name__)


class Relay:
    """One worker process's relay; `start` runs its thread."""

    def __init__(self, delivery: Delivery, actors: Actors) -> None:
        self._delivery = delivery
        self._actors = actors
        self._lease = delivery.lease
        self._whole_next = 0.0
        self._expected: dict[str, float] = {}  # when each lane is due, by our clock, as the last whole look found it
        self._token_in: dict[str, float] = {}  # seconds, of lanes that had no token at the last look
        self._published = False
        self._diversion = Diversion()
        self._operator = Operator()
        self._housekeeper = Housekeeper(delivery.lease, delivery.stopping)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay", daemon=True)

    def start(self) -> None:
        self._operator.start()
        self._housekeeper.start()
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._lease.news.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self._operator.stop()
        self._housekeeper.stop()

    def _run(self) -> None:
        wait, looked = 0.0, monotonic()
        while not self._stop.is_set():
            if self._lease.news.wait(wait):
                self._stop.wait(AGAIN_AFTER - (monotonic() - looked))
            self._lease.news.clear()
            if self._stop.is_set():
                break
            looked = monotonic()
            try:
                wait = self._look()
            except DatabaseError as error:
                log.warning("relay.failed", error=type(error).__name__)
                wait = LOOK_EVERY
            except Exception:
                log.exception("relay.unexpected")  # our bug; a worker without a relay would be worse
                wait = LOOK_EVERY
            finally:
                give_back()

    def _drained(self) -> None:
        """A lane that was due when it was looked at is no longer; when it will be next, only another look can tell."""
        self._lease.news.set()

    def _look(self) -> float:
        """One round; the seconds until the next is worth while."""
        for dead, beat in self._lease.dead():
            buried = recover.bury(dead, observed_beat=beat, policies=recover.policies())
            if buried is not None:
                log.warning("worker.buried", worker_id=str(dead), claims=len(buried))
                self._wake(buried)
                self._housekeeper.wake()
        worker_id = self._lease.worker_id
        if worker_id is None:
            return BEFORE_LEASE
        self._publish()
        wait = LOOK_EVERY
        for lane, due_in in self._due_in(worker_id).items():
            if due_in > 0:
                wait = min(wait, due_in)
            elif token_in := self._token_in.get(lane):
                self._actors.wake_in(lane, token_in)
            else:
                self._actors.wake(lane, self._drained)
        return wait

    def _publish(self) -> None:
        """Tell the database, once, what this worker can send: SQL's notifications_accept asks for no more."""
        if self._published:
            return
        try:
            channel_rules.publish()
            self._published = True
        except DatabaseError as error:
            log.warning("channel_rules.not_written", error=type(error).__name__)  # the next round tries again

    def _due_in(self, worker_id: UUID) -> dict[str, float]:
        """Seconds until each lane is due, by a look at everything, of which all else that wants doing is done.

        Under a pinned snapshot that look walks all that was claimed since. That takes about a twentieth of the time;
        between, the lanes that this process has claimed from are looked at from where it has come, and the others are
        due when that look said so.
        """
        began = monotonic()
        if began < self._whole_next:
            places = self._delivery.cursors.places()
            claimed_from = {lane for lane, _ in places}
            expected = {lane: at - began for lane, at in self._expected.items() if lane not in claimed_from}
            seen_there = workers.glance(places)
            self._token_in = seen_there.token_in
            self._delivery.gate.learn(seen_there.troubled, among=seen_there.due_in)
            return expected | seen_there.due_in
        seen = workers.sweep(worker_id)
        ended = monotonic()
        self._whole_next = ended + min(WHOLE_AT_MOST, WHOLE_SHARE * (ended - began))
        self._expected = {lane: ended + due_in for lane, due_in in seen.due_in.items()}
        self._attend(seen, worker_id)
        return seen.due_in

    def _attend(self, seen: workers.Sweep, worker_id: UUID) -> None:
        self._token_in = seen.token_in
        self._delivery.gate.learn(seen.troubled)
        if seen.operations:
            self._operator.wake()
        if seen.workers_missing:
            self._wake(recover.recover_missing(recover.policies()))
        if abandoned := self._delivery.holdings.abandoned(seen.own_claims):
            taken = recover.take_back(
                [worker_id], recover.policies(), detail="its claim was never answered", only=abandoned
            )
            if taken:
                log.warning("claims.abandoned", claims=len(taken))
                self._wake(taken)
        self._divert(seen.due_in.keys() & seen.troubled)
        if seen.overdue and (expired := operate.expire()):
            log.info("notifications.expired", count=len(expired))
            counting.expired(expired)

    def _divert(self, lanes: Set[str]) -> None:
        came = self._diversion.attend(lanes)
        for lane in came:
            self._actors.wake(lane, self._drained)
            nudge.request(lane)
        if came.total() >= AT_MOST:
            self._whole_next = 0.0  # there may be more
            self._lease.news.set()

    def _wake(self, taken: list[recover.TakenBack]) -> None:
        for lane in {claim.lane for claim in taken}:
            self._actors.wake(lane, self._drained)
            nudge.request(lane)  # the others may have threads to spare
