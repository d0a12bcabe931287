"""No log names a recipient or says what a message said: at the most talkative level, whatever fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import requests
from django.db import connection

from channels.sandbox.faults import Fault, Kind, Stage
from channels.sandbox.server import Sandbox
from notifications import services
from notifications.models import Attempt, Client, Notification
from tests import processes
from tests.eventually import eventually

pytestmark = pytest.mark.django_db(transaction=True)

WORD = "rhubarb"  # of every message
MAIL = {
    "channel": "email",
    "to": "zenobia@example.com",
    "subject": WORD,
    "message": f"Dear {WORD},\n\n{WORD}, Zenobia (soon).\n\n{WORD}",
}
SMS = {"channel": "sms", "to": "+14155550123", "message": WORD}
TELLING = ("zenobia", "4155550123", WORD)


@contextmanager
def refusing(table: str, condition: str) -> Iterator[None]:
    """The table takes no row of which this is not true: what no code of ours foresees."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT refusing CHECK ({condition}) NOT VALID")
        try:
            yield
        finally:
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT refusing")


def test_neither_web_nor_worker_logs_to_whom_or_what(
    sandbox: Sandbox, providers: dict[str, str], client_row: Client
) -> None:
    headers = {"Authorization": f"Bearer {services.create_api_key(client_row).text}"}
    # Refused for good, with the provider's own words; left open; and let through.
    sandbox.faults.set("email", Fault(kind=Kind.STATUS, status=550, stage=Stage.RCPT, times=1))
    sandbox.faults.set("sms", Fault(kind=Kind.DROP_AFTER, times=1))

    with processes.web(LOG_LEVEL="debug", **providers) as (server, url):

        def post(body: dict[str, str], path: str = "/api/v1/notifications", **more: str) -> int:
            return requests.post(f"{url}{path}", json=body, headers={**headers, **more}, timeout=10).status_code

        assert post({**MAIL, "to": f"{MAIL['to']} and {SMS['to']}"}, **{"Idempotency-Key": "a"}) == 400
        assert post({**SMS, "to": f"{SMS['to']}4711"}, **{"Idempotency-Key": "b"}) == 400
        with refusing("notification", f"subject <> '{WORD}'"):
            assert post(MAIL, **{"Idempotency-Key": "mail 0"}) == 500
        for number in range(3):
            for body in (MAIL, SMS):
                assert post(body, **{"Idempotency-Key": f"{body['channel']} {number + 1}"}) == 202
        found = requests.get(f"{url}/api/v1/notifications", params={"to": MAIL["to"]}, headers=headers, timeout=10)
        assert len(found.json()["results"]) == 3

        with refusing("attempt", "backend = 'none'"), processes.worker(LOG_LEVEL="debug", **providers) as failing:
            eventually(lambda: "record.retried" in failing.log, what="a record that the database refuses")
            told_by_failing = failing.log
        with processes.worker(LOG_LEVEL="debug", **providers) as worker:
            eventually(lambda: not Notification.objects.filter(status__in=["pending", "sending"]).exists(), seconds=40)
            told = {"web": server.log, "worker": worker.log, "failing worker": told_by_failing}

    assert Attempt.objects.exclude(outcome="accepted").exists()
    assert "DETAIL:  •••" in told["web"]
    for who, log in told.items():
        assert not [line for line in log.lower().splitlines() if any(word in line for word in TELLING)], who
