"""What a worker keeps open to a provider, and for how long."""

from __future__ import annotations

import pytest

from notifications.models import Notification
from tests import processes
from tests.contract.stand_in import SmtpStandIn
from tests.eventually import eventually

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_worker_that_stops_takes_its_leave_of_the_relay(post: Post, providers: dict[str, str]) -> None:
    with SmtpStandIn() as relay:
        providers = {**providers, "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(relay.port)}
        with processes.worker(**providers) as worker:
            post("hello", channel="email", to="ann@example.com", subject="A subject")
            eventually(lambda: Notification.objects.filter(status="sent").exists(), what="sent")
            worker.terminate()
            assert worker.wait() == 0
        assert relay.verbs[-1] == "QUIT"
