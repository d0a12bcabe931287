"""The parts of the bench, in the order in which they are run: name → function that yields results."""

from collections.abc import Callable, Iterator

from tests.bench.parts import accept, batch, bulkheads, drain, fairness, latency, memory, reading, sizes, smtp, waiting
from tests.bench.report import Result
from tests.bench.sides import Bench

# Those that take minutes whatever their load are not for a look after a change.
LONG = frozenset({"sizes", "memory", "reading"})
PARTS: dict[str, Callable[[Bench], Iterator[Result]]] = {
    "accept": accept.run,
    "batch": batch.run,
    "drain": drain.run,
    "waiting": waiting.run,
    "smtp": smtp.run,
    "latency": latency.run,
    "fairness": fairness.run,
    "bulkheads": bulkheads.run,
    "sizes": sizes.run,
    "memory": memory.run,
    "reading": reading.run,
}
