from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pytest_django import Settings

if TYPE_CHECKING:
    from .callers import Caller  # pytest reads this file before the settings are ready


@pytest.fixture
def caller(transactional_db: None) -> Caller:
    from .callers import new_caller

    return new_caller()


@pytest.fixture
def other(transactional_db: None) -> Caller:
    from .callers import new_caller

    return new_caller()


@pytest.fixture(autouse=True)
def every_channel_configured(settings: Settings) -> None:
    # Nothing is sent here: no worker runs. The ports are of nobody.
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {
        **known,
        "slack": {
            **known["slack"],
            "webhooks": {"default": "http://127.0.0.1:9/hook", "ops": "http://127.0.0.1:9/ops"},
        },
        "email": {**known["email"], "sender": "us@example.com", "host": "127.0.0.1", "port": 9, "security": "none"},
        "sms": {**known["sms"], "account_sid": f"AC{'0' * 32}", "auth_token": "t" * 32, "from_number": "+15005550006"},
    }
