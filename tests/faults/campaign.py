"""Random kills under load: what is killed is started again as a supervisor would, and the books are held at the end.

Two web servers and three workers, clients that post all the time, and somebody with SIGKILL. Before that, all are
stopped cleanly (SIGTERM) in turn, apart from the kills, so that every duplicate has a culprit.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from threading import Event
from time import monotonic
from typing import Final

from channels.sandbox.faults import Fault, Kind
from notifications import services
from notifications.models import Notification
from tests.eventually import eventually
from tests.faults.clients import Load
from tests.faults.measures import Measures
from tests.faults.recovery import Recoveries, Watch
from tests.faults.site import WEB_GRACE, WORKER_GRACE, Site
from tests.faults.supervisor import Kept, Life
from tests.ports import free_port
from tests.processes import database_url

CHANNELS: Final = ("slack", "slack", "email", "sms")
RATE: Final = 40  # requests a second
LATENCY: Final = 40  # ms of each send: at any kill some are under way
PAUSE: Final = (0.2, 2.0)  # seconds between kills
BLACKOUTS: Final = 0.05  # of the kills take all workers at once
STOPS: Final = 0.1  # clean ones for each kill

Progress = Callable[[int, str], None]  # kills so far, and a few words


class Campaign:
    """One run: `Campaign(site, kills=20, seed=1, progress=…).run()`."""

    def __init__(self, site: Site, *, kills: int, seed: int, progress: Progress) -> None:
        self._site = site
        self._wanted = kills
        self._chance = random.Random(seed)
        self._progress = progress
        self._measures = Measures()
        self._watches: list[Watch] = []
        self._blackouts: list[tuple[float, list[Watch]]] = []  # when the first worker was back
        self._guard: Kept | None = None  # a worker that lives to see what becomes of the others' claims

    def run(self) -> Measures:
        """Raises: AssertionError where a promise is broken."""
        latency = Fault(kind=Kind.LATENCY, latency_ms=LATENCY)
        self._site.provider.faults.replace({channel: [latency] for channel in CHANNELS})
        ports = [free_port() for _ in range(2)]
        self._webs = [Kept(self._site, partial(self._start_web, port), grace=WEB_GRACE) for port in ports]
        self._workers = [Kept(self._site, self._start_worker, grace=WORKER_GRACE) for _ in range(3)]
        try:
            self._await_all()
            self._stop_cleanly()
            with Recoveries(database_url()) as self._recoveries:
                self._kill()
                self._await_all()
                self._settle()
        finally:
            for each in (*self._webs, *self._workers):
                each.release()
        self._measures.found = self._site.check()
        return self._measures

    # --- the site ----------------------------------------------------------------------------------------

    def _start_web(self, port: int) -> Life:
        running, _ = self._site.start_web(port=port)
        return Life(running, monotonic())

    def _start_worker(self) -> Life:
        running, lease = self._site.start_worker(threads=24)
        return Life(running, monotonic(), lease)

    def _await_all(self) -> None:
        for each in (*self._webs, *self._workers):
            each.await_life()

    def _load(self, name: str) -> Load:
        return self._site.load(name=name, rate=RATE, channels=CHANNELS)

    # --- what befalls it ---------------------------------------------------------------------------------

    def _stop_cleanly(self) -> None:
        stops = max(2, round(self._wanted * STOPS))
        with self._load("stops"):
            for nth in range(stops):
                kept = self._chance.choice(self._workers if nth % 2 else self._webs)
                self._progress(0, f"clean stop {nth + 1} of {stops}")
                took = kept.stop_cleanly()
                self._measures.slowest_stop = max(self._measures.slowest_stop, took)
                self._measures.clean_stops += 1
                kept.await_life()
        self._site.settle()
        self._measures.doubled_by_stops = len(self._site.check().doubled)

    def _kill(self) -> None:
        with self._load("kills"):
            while self._measures.kills < self._wanted:
                Event().wait(self._chance.uniform(*PAUSE))
                if self._chance.random() < BLACKOUTS:
                    self._kill_all_workers()
                else:
                    self._kill_one()
                accepted = len(self._site.log.acknowledged())
                self._progress(self._measures.kills, f"{accepted:,} accepted")

    def _kill_one(self) -> None:
        if not self._recoveries.under_way:
            self._guard = None
        workers = [worker for worker in self._workers if worker.life]
        mortal = [worker for worker in workers if worker is not self._guard] if len(workers) > 1 else []
        webs = [web for web in self._webs if web.life]
        # One of the two at a time: without any, nothing would be under way.
        victims = [*mortal, *(webs if len(webs) > 1 else [])]
        if not victims:
            return
        victim = self._chance.choice(victims)
        life = victim.await_life()
        died_at = victim.kill(whole=self._chance.random() < 0.5)
        self._measures.kills += 1
        if life.worker is not None:
            self._measures.of_workers += 1
            self._guard = self._guard or self._chance.choice([worker for worker in workers if worker is not victim])
            self._watches.append(self._recoveries.watch(life.worker.id, died_at=died_at))

    def _kill_all_workers(self) -> None:
        lives = [worker.await_life() for worker in self._workers]
        # Those who were to see what becomes of earlier deaths die, too, be it of one worker or of all.
        watches = [watch for watch in self._watches if not watch.ended_at]
        self._watches = [watch for watch in self._watches if watch not in watches]
        for _, earlier in self._blackouts:
            watches += [watch for watch in earlier if not watch.ended_at]
            earlier[:] = [watch for watch in earlier if watch.ended_at]
        watches += [
            self._recoveries.watch(life.worker.id, died_at=worker.kill(whole=True))
            for life, worker in zip(lives, self._workers, strict=True)
            if life.worker is not None
        ]
        # Whoever is back first sees what becomes of the claims.
        self._guard = eventually(
            lambda: next((worker for worker in self._workers if worker.life), None),
            seconds=60,
            what="a worker that is back",
        )
        self._blackouts.append((self._guard.await_life().began_at, watches))
        self._measures.kills += 1
        self._measures.blackouts += 1

    # --- the end -----------------------------------------------------------------------------------------

    def _settle(self) -> None:
        self._progress(self._measures.kills, "settling")
        eventually(lambda: not self._recoveries.under_way, seconds=60, what="the last recovery")
        self._site.settle(seconds=120)
        held = set(Notification.objects.filter(status="unknown").values_list("id", flat=True))
        services.resend(held, actor="an operator")
        self._site.settle(seconds=120)
        measures = self._measures
        measures.held = len(held)
        measures.recoveries = [w.ended_at - w.died_at for w in self._watches if w.held and not w.hopeless]
        measures.after_blackouts = [
            watch.ended_at - back for back, watches in self._blackouts for watch in watches if watch.held
        ]
        everyone = [*self._watches, *(watch for _, watches in self._blackouts for watch in watches)]
        measures.unrecovered = sum(watch.hopeless for watch in everyone)
