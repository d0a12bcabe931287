from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker

ROWS = 30_000


@pytest.fixture(scope="session")
def old_history(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """A database of many releases ago, with history: to be copied."""
    # Django is not set up yet when this file is read.
    from . import databases

    with django_db_blocker.unblock(), databases.with_history(ROWS, through="0010") as url:
        yield url
