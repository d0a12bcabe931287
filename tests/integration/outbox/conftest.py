"""What tests of two at once share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.outbox.second import Second


@pytest.fixture
def second(transactional_db: None) -> Iterator[Second]:
    """Another connection to the test's database."""
    second = Second()
    yield second
    second.close()
