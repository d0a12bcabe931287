"""So many a minute for each client, over all its keys and all web processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.http import HttpResponse
from pytest_django import Settings

from notifications import services
from notifications.api import throttling
from notifications.models import ClientQuota, Notification
from notifications.outbox.statement import run
from notifications.throttle import Throttle

from .callers import SMS, Caller

LIST = "/api/v1/notifications"
ONE = {"channel": "sms", "to": "+14155552671", "message": "hello"}


@pytest.fixture(autouse=True)
def early_in_a_minute(transactional_db: None) -> Iterator[None]:
    """A minute that ends amid a test is another test."""
    left = run("SELECT extract(epoch FROM date_trunc('minute', now()) + interval '1 minute' - now())::float8", {})[0][0]
    if left < 20:
        run("SELECT pg_sleep(%(seconds)s)", {"seconds": left})
    throttling.throttle.forget()
    yield
    throttling.throttle.forget()


def limited(caller: Caller, limit: int | None) -> Caller:
    """Its keys are good for a second: a key of its own sees the limit at once."""
    caller.client.rate_limit = limit
    caller.client.save()
    return Caller(caller.client, services.create_api_key(caller.client).text)


def told(answer: HttpResponse) -> tuple[int, int]:
    """Limit and remaining; the rest is until the end of a minute."""
    assert 1 <= int(answer["RateLimit-Reset"]) <= 60
    return int(answer["RateLimit-Limit"]), int(answer["RateLimit-Remaining"])


def test_a_client_without_a_limit_is_told_of_none(caller: Caller) -> None:
    answer = caller.get(LIST)

    assert not any(name.startswith("RateLimit") for name in answer.headers)
    assert not ClientQuota.objects.exists()


def test_past_its_limit_a_client_waits_for_the_minutes_end(caller: Caller) -> None:
    client = limited(caller, 3)

    answers = [client.post("/api/v1/sms", SMS) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
    assert [told(answer) for answer in answers] == [(3, 2), (3, 1), (3, 0), (3, 0), (3, 0)]
    refused = answers[-1]
    assert json.loads(refused.content)["code"] == "throttled"
    assert refused["Retry-After"] == refused["RateLimit-Reset"]
    assert Notification.objects.count() == 3


def test_what_was_refused_may_use_its_key_again(caller: Caller, settings: Settings) -> None:
    client = limited(caller, 1)
    client.get(LIST)
    assert client.post("/api/v1/sms", SMS, key="k").status_code == 429

    assert limited(caller, 0).post("/api/v1/sms", SMS, key="k").status_code == 202
    assert "Idempotent-Replayed" not in client.get(LIST)


def test_in_the_next_minute_there_are_as_many_again(caller: Caller) -> None:
    client = limited(caller, 1)
    assert [client.get(LIST).status_code for _ in range(2)] == [200, 429]

    run("UPDATE client_quota SET minute = minute - interval '1 minute'", {})
    throttling.throttle.forget()

    assert [client.get(LIST).status_code for _ in range(2)] == [200, 429]


def test_all_keys_of_a_client_count_together_and_those_of_another_apart(caller: Caller, other: Caller) -> None:
    first, second, stranger = limited(caller, 2), limited(caller, 2), limited(other, 2)

    assert [each.get(LIST).status_code for each in (first, second, first, second)] == [200, 200, 429, 429]
    assert stranger.get(LIST).status_code == 200


def test_the_services_own_limit_is_for_who_has_none(caller: Caller, other: Caller, settings: Settings) -> None:
    settings.RATE_LIMIT = 1

    assert [caller.get(LIST).status_code for _ in range(2)] == [200, 429]
    assert [limited(other, 0).get(LIST).status_code for _ in range(2)] == [200, 200]


def test_a_batch_counts_as_what_is_in_it(caller: Caller) -> None:
    client = limited(caller, 10)
    batch = {"notifications": [ONE] * 6}

    first, second = (client.post(f"{LIST}/batch", batch) for _ in range(2))
    single = client.post(LIST, ONE)

    assert (first.status_code, told(first)) == (202, (10, 4))
    assert (second.status_code, told(second)) == (429, (10, 3))  # the request itself was one
    assert (single.status_code, told(single)) == (202, (10, 2))
    assert Notification.objects.count() == 7


def test_who_is_not_let_in_has_no_limit_to_be_told_of(caller: Caller, settings: Settings) -> None:
    settings.RATE_LIMIT = 1

    for _ in range(3):
        answer = Caller(caller.client, "nk_00000000_wrong").get(LIST)
        assert (answer.status_code, "RateLimit-Limit" in answer) == (401, False)


@pytest.mark.parametrize("limit", [1, 7, 20, 100, 333])
def test_several_processes_never_grant_more_than_the_limit_and_hardly_less(caller: Caller, limit: int) -> None:
    processes = [Throttle() for _ in range(4)]

    def take(number: int) -> bool:
        try:
            return processes[number % len(processes)].take(caller.client.pk, limit=limit).granted
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        granted = sum(pool.map(take, range(2 * limit + 40)))

    assert limit - len(processes) * (limit // 20) <= granted <= limit
    assert ClientQuota.objects.get().used <= limit


def test_a_process_asks_the_database_once_in_a_while(caller: Caller) -> None:
    throttle = Throttle()
    throttle.take(caller.client.pk, limit=1000)
    used = ClientQuota.objects.get().used

    for _ in range(49):
        assert throttle.take(caller.client.pk, limit=1000).granted

    assert (used, ClientQuota.objects.get().used) == (50, 50)
