"""Django is not set up yet when this is read: what needs it is imported where it is used."""

from __future__ import annotations

import pytest
from pytest_django.fixtures import Settings


@pytest.fixture
def slack(settings: Settings) -> None:
    """Slack has its default webhook, of nobody: nothing is sent."""
    known = settings.NOTIFIER_CHANNELS
    webhooks = {"default": "https://hooks.slack.com/services/x"}
    settings.NOTIFIER_CHANNELS = {**known, "slack": {**known["slack"], "webhooks": webhooks}}
