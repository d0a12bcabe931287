"""Django is not set up yet when this is read: what needs it is imported where it is used."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from pytest_django.fixtures import Settings

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client as Browser

    from tests.integration.outbox.second import Second


@pytest.fixture
def slack(settings: Settings) -> None:
    """Slack has its default webhook, of nobody: nothing is sent."""
    known = settings.NOTIFIER_CHANNELS
    webhooks = {"default": "https://hooks.slack.com/services/x"}
    settings.NOTIFIER_CHANNELS = {**known, "slack": {**known["slack"], "webhooks": webhooks}}


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """As a terminal's programs do, and what they start; what a shell runs in the background is told to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def second(transactional_db: None) -> Iterator[Second]:
    """Another connection to the test's database."""
    from tests.integration.outbox.second import Second

    another = Second()
    yield another
    another.close()


@pytest.fixture
def operator() -> User:
    from django.contrib.auth.models import User

    return User.objects.create_superuser("ada", password="a long enough password")


@pytest.fixture
def browser(operator: User) -> Browser:
    """The operator's, in the admin."""
    from django.test import Client

    browser = Client()
    browser.force_login(operator)
    return browser
