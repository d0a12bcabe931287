"""One notification over HTTP, with authentication, key, validation and a durable commit, against the usual stack."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from tests.bench import load
from tests.bench.ours import Service
from tests.bench.peers.drf_dramatiq import DrfDramatiq
from tests.bench.report import Result
from tests.bench.sides import Bench
from tests.ports import free_port

BODY = {"channel": "slack", "to": "default", "message": "The disk of db-3 is 91 % full, and nobody has looked at it."}


def run(bench: Bench) -> Iterator[Result]:
    ours = Service(bench.postgres, "accept")
    plain = DrfDramatiq(bench.postgres.fresh("accept_plain"), bench.redis)
    keyed = DrfDramatiq(bench.postgres.fresh("accept_keyed"), bench.redis, keyed=True)
    with ExitStack() as stack:
        stack.enter_context(ours.a_lease())
        url = stack.enter_context(ours.web())
        burst = partial(load.post, seconds=4 if bench.quick else 10)
        peers = {peer: (stack.enter_context(peer.serving(free_port())), peer.headers) for peer in (plain, keyed)}
        sides = {
            "ours": partial(burst, f"{url}/api/v1/notifications", BODY, ours.headers),
            plain.name: partial(burst, *_asked(peers[plain])),
            keyed.name: partial(burst, *_asked(peers[keyed])),
        }
        for side in sides.values():
            side(seconds=2)  # connections are opened, code is compiled, plans are made
        found = bench.rounds("accept", sides)

    def of(name: str, figure: str) -> list[float]:
        return [getattr(one, figure) for one in found[name]]

    yield Result("accept one", "requests/s", of("ours", "rate"), plain.name, of(plain.name, "rate"), goal=1.6)
    yield Result("accept one", "requests/s", of("ours", "rate"), keyed.name, of(keyed.name, "rate"), goal=2.0)
    yield Result("accept one, p50", "ms", of("ours", "p50"), plain.name, of(plain.name, "p50"), at_most=True)
    yield Result("accept one, p99", "ms", of("ours", "p99"), plain.name, of(plain.name, "p99"), goal=1, at_most=True)


def _asked(peer: tuple[str, object]) -> tuple[str, object, object]:
    url, headers = peer
    return url, BODY, headers
