"""A client's lists among five million notifications, beside the same lists among five thousand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPConnection
from statistics import median
from time import perf_counter
from typing import Final, LiteralString
from urllib.parse import urlencode, urlsplit

from notifications.outbox.listing import LIST_AND_LABEL_STORED
from tests.bench.ours import Service
from tests.bench.report import Result
from tests.bench.sides import Bench

SMALL, LARGE = 5_000, 5_000_000
CHUNK: Final = 250_000
READS: Final = 50  # of each list in each run

# Accepted over ninety days, nine in ten by the client that asks. Each recipient has twenty, and so has each of the
# orders that a tenth of them name; one in a hundred failed.
HISTORY: Final[LiteralString] = f"""
WITH stored AS (
    INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority, due_at,
        status, attempt, tries, losses, possible_duplicate, provider_id, error_code, correlation_id, idempotency_key,
        created_at, finished_at)
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7000a000'
            || lpad(to_hex(n), 12, '0'))::uuid,
        CASE WHEN n %% 10 = 0 THEN 2 ELSE 1 END, (ARRAY['slack', 'sms', 'email'])[1 + n %% 3],
        (ARRAY['slack', 'sms', 'email'])[1 + n %% 3], 'user-' || n %% (%(count)s::bigint / 20) || '@example.com', '',
        'A message of ordinary length, which says what happened, to whom and what can be done about it now: ' || n,
        CASE WHEN n %% 10 = 1 THEN jsonb_build_object('order', n / 10 %% (%(count)s::bigint / 200)) ELSE '{{}}' END,
        1, at,
        CASE WHEN n %% 100 = 3 THEN 'failed' ELSE 'sent' END, 1, 0, 0, false, '', '', 'flow-' || n / 3, 'order-' || n,
        at, at
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
    CROSS JOIN LATERAL (SELECT now() - interval '90 days' * (1 - n / %(count)s::float8) AS at) AS moment
    RETURNING *
), {LIST_AND_LABEL_STORED}
SELECT 1
"""


_MONTH_AGO: Final = datetime.now(UTC) - timedelta(days=30)

# What is asked for, by how many notifications there are.
LISTS: Final[Mapping[str, Callable[[int], Mapping[str, str]]]] = {
    "newest": lambda count: {},
    "by status": lambda count: {"status": "failed"},
    "by channel": lambda count: {"channel": "sms"},
    "by recipient": lambda count: {"to": f"user-{count // 40 + 1}@example.com"},
    "by correlation id": lambda count: {"correlation_id": f"flow-{count // 6}"},
    "by metadata": lambda count: {"metadata[order]": "7"},
    "of a month ago": lambda count: {"until": _MONTH_AGO.isoformat()},
    "of what is not there": lambda count: {"status": "canceled"},
}


def run(bench: Bench) -> Iterator[Result]:
    """Both are asked in turn, and the goal is of the ratio of their medians."""
    with ExitStack() as stack:
        asked = {}
        for count in (SMALL, LARGE):
            service = Service(bench.postgres, f"reading_{count}")
            _fill(service, count)
            asked[count] = _Asking(stack.enter_context(service.web(processes=1)), service.headers)
        for name, query in LISTS.items():
            sides = {str(count): partial(asking.p50, query(count)) for count, asking in asked.items()}
            found = bench.rounds(f"a page, {name}", sides)
            large, small = found[str(LARGE)], found[str(SMALL)]
            yield Result(f"a page, {name}, p50", "ms", large, f"among {SMALL:,}", small, goal=1.5, at_most=True)


class _Asking:
    """A client that keeps its connection."""

    def __init__(self, address: str, headers: Mapping[str, str]) -> None:
        self._connection = HTTPConnection(urlsplit(address).netloc)
        self._headers = headers

    def p50(self, query: Mapping[str, str]) -> float:
        """Milliseconds."""
        path = f"/api/v1/notifications?{urlencode(query)}"
        return median(self._read(path) for _ in range(READS)) * 1000

    def _read(self, path: str) -> float:
        began = perf_counter()
        self._connection.request("GET", path, headers=dict(self._headers))
        answer = self._connection.getresponse()
        body = answer.read()
        took = perf_counter() - began
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {body[:200]!r}")
        return took


def _fill(service: Service, count: int) -> None:
    with service.connect() as connection:
        for first in range(1, count + 1, CHUNK):
            last = min(count, first + CHUNK - 1)
            connection.execute(HISTORY, {"first": first, "last": last, "count": count})
        connection.execute("VACUUM (ANALYZE)")
