"""The Dramatiq actors, one for each channel, and the life of the worker process around them."""

from __future__ import annotations

import dramatiq
import structlog
from channels.registry import channels
from django.db import Error as DatabaseError
from dramatiq.middleware import Middleware

from notifications import nudge
from notifications.bulkhead import Bulkhead
from notifications.delivery import Delivery, policies
from notifications.lease import Lease
from notifications.outbox import recover
from notifications.outbox.statement import give_back
from notifications.relay import Relay

log = structlog.get_logger(__name__)


class WorkerLife(Middleware):
    """Starts lease and relay with the worker, stops claiming at SIGTERM, and gives back what is left at the end."""

    def __init__(self) -> None:
        self._lease = Lease()
        self._delivery = Delivery(self._lease)
        self._relay = Relay(self._delivery)
        self._bulkhead = Bulkhead(threads=1, channels=1)

    def dispatch(self, lane: str) -> None:
        """The actor: drain a lane, if its channel has a thread left for it."""
        self._bulkhead.run(lane, lambda: self._delivery.drain(lane))

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        served = worker.consumer_whitelist or broker.get_declared_queues()
        self._bulkhead = Bulkhead(threads=worker.worker_threads, channels=len(served))
        self._lease.start()
        self._relay.start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        # The earliest word of SIGTERM: running drains finish the send they are in and release the rest.
        self._delivery.stopping.set()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        self._relay.stop()
        self._lease.stop()
        worker_id = self._lease.worker_id
        if worker_id is None:
            return
        try:
            # An actor may run still, past the shutdown's patience: the row goes together with its claims.
            left = recover.retire(worker_id, policies())
            log.info("worker.retired", worker_id=str(worker_id), claims=len(left))
        except DatabaseError as error:
            log.warning("worker.retire_failed", error=type(error).__name__)  # the others will bury it
        finally:
            give_back()


def declare(broker: dramatiq.Broker) -> WorkerLife:
    """Add the worker's middleware and one actor for each channel to a broker."""
    life = WorkerLife()
    broker.add_middleware(life)
    for name in channels():
        dramatiq.actor(life.dispatch, actor_name=nudge.actor_name(name), queue_name=name, broker=broker)
    return life
