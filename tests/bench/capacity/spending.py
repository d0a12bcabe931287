"""What the service and its Postgres spend while something is done."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from tests.bench import growth, processes
from tests.bench.capacity.model import Cost
from tests.bench.ours import Service


def cost_of(service: Service, act: Callable[[], object]) -> tuple[Cost, float]:
    """What was spent in all while `act` ran, and the seconds that it took."""
    before, began = _so_far(service), perf_counter()
    act()
    return _so_far(service) - before, perf_counter() - began


def _so_far(service: Service) -> Cost:
    used = {kind: 1e6 * seconds for kind, seconds in processes.processor().items()}
    with service.connect() as connection:
        return Cost(used["web"], used["workers"], used["Postgres"], growth.wal_of(connection))
