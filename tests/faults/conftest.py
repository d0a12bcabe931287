from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.faults.site import Site

TABLE = pytest.StashKey[list[str]]()


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[Site]:
    """A provider stand-in, clients and their log; the test starts the processes that it needs."""
    # Django is not set up yet when this file is read.
    from tests.faults.site import Site

    with Site(tmp_path) as site:
        yield site


@pytest.fixture
def campaign_table(request: pytest.FixtureRequest) -> list[str]:
    """Lines that the run ends with."""
    return request.config.stash.setdefault(TABLE, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(TABLE, []):
        terminalreporter.section("random kills")
        for line in lines:
            terminalreporter.write_line(line)
