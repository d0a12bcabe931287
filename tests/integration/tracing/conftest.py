"""Django is not set up yet when this is read: its models are imported where they are used."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import requests

from tests.contract.stand_in import HttpStandIn
from tests.integration.tracing.collector import Collector

Posted = Callable[..., requests.Response]
SECRET = "T0/B0/not-for-anybodys-eyes"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as running:
        yield running


@pytest.fixture
def slack() -> Iterator[HttpStandIn]:
    with HttpStandIn() as running:
        yield running


@pytest.fixture
def known(slack: HttpStandIn) -> dict[str, str]:
    """The environment of web and worker, without a collector."""
    return {"SLACK_WEB_HOOK_URL": f"http://127.0.0.1:{slack.port}/services/{SECRET}", "SLACK_RATE": "off"}


@pytest.fixture
def post(transactional_db: None) -> Posted:
    from notifications import services
    from notifications.models import Client

    key = services.create_api_key(Client.objects.create(name="a client")).text

    def posted(url: str, body: object, *, path: str = "", name: str = "k", **headers: str) -> requests.Response:
        told = {"Authorization": f"Bearer {key}", "Idempotency-Key": name, **headers}
        answer = requests.post(f"{url}/api/v1/notifications{path}", json=body, headers=told, timeout=10)
        assert answer.status_code == 202, answer.text
        return answer

    return posted
