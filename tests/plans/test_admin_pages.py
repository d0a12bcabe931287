"""The admin's list at five million rows beside five thousand: each look is bounded, and costs about the same."""

from __future__ import annotations

import gc
from collections.abc import Callable
from statistics import quantiles
from time import perf_counter

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client as Browser

SMALL, LARGE = 5_000, 5_000_000
TIMES = 40
LIST = "/admin/notifications/notification/"

# A quarter failed, so that the small table fills each page as well: else a page of more lines is all that is measured.
# Over three channels and two clients; each with its own recipient, and keys for the newest.
ROWS = """
INSERT INTO notification (id, client_id, channel, lane, recipient, subject, body, metadata, priority, due_at, status,
    attempt, tries, losses, possible_duplicate, provider_id, error_code, correlation_id, idempotency_key, created_at,
    finished_at)
SELECT id, 1 + n %% 2, channel, channel, 'user' || n || '@shop.example', '', 'It is ready.', '{}', 1, at, status,
    1, 0, 0, false, '', CASE status WHEN 'failed' THEN (21610 + n %% 7)::text ELSE '' END, 'trace/' || n, 'key-' || n,
    at, at
FROM (SELECT n, uuidv7(make_interval(secs => (n - %(last)s) * 0.05)) AS id,
             now() + make_interval(secs => (n - %(last)s) * 0.05) AS at,
             (ARRAY['sms', 'email', 'slack'])[1 + n %% 3] AS channel,
             CASE WHEN n %% 4 = 0 THEN 'failed' ELSE 'sent' END AS status
      FROM generate_series(%(first)s, %(last)s) AS n) AS made
"""
LISTED = """
INSERT INTO listing (client_id, id, recipient, correlation)
SELECT client_id, id, hashtextextended(recipient, client_id), hashtextextended(correlation_id, client_id)
FROM notification ON CONFLICT DO NOTHING
"""
KEYED = """
INSERT INTO idempotency_record (client_id, operation, key, fingerprint, status, location, body, notification_ids,
    created_at)
SELECT client_id, 'POST /api/v1/' || channel, idempotency_key, '', 202, '', '', ARRAY[id], created_at
FROM notification WHERE id >= (SELECT id FROM notification ORDER BY id DESC OFFSET 4000 LIMIT 1)
ON CONFLICT DO NOTHING
"""


def grow(first: int, last: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        cursor.execute(ROWS, {"first": first, "last": last})
        cursor.execute(LISTED)
        cursor.execute(KEYED)
        for table in ("notification", "listing", "idempotency_record"):
            cursor.execute(f"VACUUM ANALYZE {table}")


def pages(browser: Browser, last: int) -> dict[str, float]:
    """Seconds that 95 of a hundred looks take at most, by what is looked at."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM notification ORDER BY id DESC OFFSET 200 LIMIT 1")
        (place,) = cursor.fetchone()
    queries = {
        "first page": "",
        "next page": f"?before={place}",
        "newer page": f"?after={place}",
        "status": "?status=failed",
        "status sent": "?status=sent",
        "status pending": "?status=pending",
        "attention": "?status=attention",
        "channel": "?channel=sms",
        "error code": "?status=failed&channel=sms&error_code=21613",
        "error code alone": "?error_code=21613",
        "an error code of none": "?error_code=1",
        "client": "?client=2",
        "live": "?mode=live",
        "tests": "?mode=test",
        "past hour": "?accepted=hour",
        "search: recipient": f"?q=user{last // 2}@shop.example",
        "search: correlation": f"?q=trace/{last // 2}",
        "search: key": f"?q=key-{last - 7}",
        "search: id": f"?q={place}",
        "search: a part": f"?q=ser{last - 7}",
        "search: nothing": "?q=nobody-at-all",
    }
    return {name: _p95(lambda query=query: browser.get(LIST + query)) for name, query in queries.items()}  # type: ignore[misc]


def _p95(look: Callable[[], object]) -> float:
    took = []
    # What this process of tests has loaded is no page's; walked by the garbage collector within one look of a dozen, it
    # adds 200 ms to that one, and decides what the slowest are.
    gc.collect()
    gc.freeze()
    try:
        for _ in range(TIMES + 5):
            before = perf_counter()
            look()
            took.append(perf_counter() - before)
    finally:
        gc.unfreeze()
    return quantiles(took[5:], n=20)[-1]


@pytest.mark.slow
@pytest.mark.timeout(1800)  # most of it makes rows
@pytest.mark.django_db(transaction=True)
def test_every_page_of_the_list_costs_about_the_same_at_five_million_rows() -> None:
    operator = User.objects.create_superuser("ada", password="a long enough password")
    browser = Browser()
    browser.force_login(operator)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO client (id, name, is_active, created_at) VALUES (1, 'a', true, now())")
        cursor.execute("INSERT INTO client (id, name, is_active, created_at) VALUES (2, 'b', true, now())")
    grow(LARGE - SMALL + 1, LARGE)
    small = pages(browser, LARGE)
    grow(1, LARGE - SMALL)
    large = pages(browser, LARGE)
    for name in small:
        print(f"{name:24} {small[name] * 1e3:7.1f} ms {large[name] * 1e3:7.1f} ms  x{large[name] / small[name]:.2f}")

    assert {name: large[name] / small[name] for name in small if large[name] > 2 * small[name] + 0.002} == {}
