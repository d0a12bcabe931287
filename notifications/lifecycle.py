"""The life of a worker process, as Dramatiq tells it: boot, the first word of SIGTERM, the end."""

from __future__ import annotations

from typing import Final

import dramatiq
import structlog
from django.db import Error as DatabaseError
from dramatiq.middleware import Middleware

from channels.registry import by_head, twins_by_head
from notifications import exporter, tally
from notifications.actors import Actors
from notifications.delivery import Delivery, policies
from notifications.lease import Lease
from notifications.outbox import recover
from notifications.outbox.statement import give_back
from notifications.relay import Relay

LAST_SENDS: Final = 20.0  # seconds: longer than any send's total deadline, shorter than a container's grace period

log = structlog.get_logger(__name__)


class WorkerLife(Middleware):
    """Starts lease and relay with the worker, stops claiming at SIGTERM, and gives back what is left at the end."""

    def __init__(self) -> None:
        self._lease = Lease()
        self._delivery = Delivery(self._lease)
        self._actors = Actors(self._delivery)
        self._relay = Relay(self._delivery, self._actors)

    def join(self, broker: dramatiq.Broker) -> None:
        """Add this middleware and the actors to a broker."""
        broker.add_middleware(self)
        self._actors.declare(broker)

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        # Before, not after: the threads run when the worker has booted.
        served = worker.consumer_whitelist or broker.get_declared_queues()
        self._actors.share_out(threads=worker.worker_threads, served=served)
        self._lease.start()
        self._relay.start()
        tally.start()
        exporter.start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        # The earliest word of SIGTERM: running drains finish the send they are in and release the rest.
        self._delivery.stopping.set()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        self._relay.stop()
        self._actors.join(LAST_SENDS)
        tally.stop()
        self._lease.stop()
        self._retire()
        for known in (*by_head().values(), *twins_by_head().values()):
            known.backend.close()

    def _retire(self) -> None:
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
