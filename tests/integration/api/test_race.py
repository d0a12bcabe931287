"""One key, one notification, or one batch: fifty requests at once, over real sockets, served by several processes."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from threading import Barrier
from urllib.parse import urlsplit

import pytest

from notifications.models import IdempotencyRecord, Notification
from tests.processes import web

from .callers import SMS, Caller
from .test_server import PROVIDER

PARALLEL = 50


BATCH = {"notifications": [{"channel": "sms", "to": SMS["send_to_number"], "message": str(n)} for n in range(20)]}


@pytest.mark.parametrize(
    ("path", "asked", "made"), [("/api/v1/sms", SMS, 1), ("/api/v1/notifications/batch", BATCH, 20)]
)
def test_fifty_equal_requests_at_once_make_one_notification_and_get_equal_answers(
    caller: Caller, path: str, asked: object, made: int
) -> None:
    with web(processes=2, threads=32, **PROVIDER) as (_, url):
        place = urlsplit(url)
        together = Barrier(PARALLEL)
        headers = {
            "Authorization": f"Bearer {caller.key}",
            "Content-Type": "application/json",
            "Idempotency-Key": "race",
        }

        def post(_: int) -> tuple[int, str | None, str | None, bytes]:
            connection = HTTPConnection(place.hostname or "", place.port, timeout=30)
            connection.connect()
            together.wait(timeout=30)
            connection.request("POST", path, json.dumps(asked), headers)
            response = connection.getresponse()
            body = response.read()
            connection.close()
            return response.status, response.headers["Location"], response.headers["Idempotent-Replayed"], body

        with ThreadPoolExecutor(PARALLEL) as pool:
            answers = list(pool.map(post, range(PARALLEL)))

    assert {(status, location, body) for status, location, _, body in answers} == {(202, answers[0][1], answers[0][3])}
    assert sorted(replayed or "first" for _, _, replayed, _ in answers) == ["first"] + ["true"] * (PARALLEL - 1)
    assert Notification.objects.count() == made
    assert IdempotencyRecord.objects.count() == 1
