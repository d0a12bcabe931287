"""The machine, with the second connection that it needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .machine import Outbox


@pytest.fixture
def outbox(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Outbox]]:
    # Models must not be imported before the settings are: this file is, where a test beside it is named.
    from .machine import Outbox
    from .meeting import Meeting

    meeting = Meeting()
    monkeypatch.setattr(Outbox, "meeting", meeting, raising=False)
    yield Outbox
    meeting.close()
