from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_django import DjangoDbBlocker

    from tests.faults.database.servers import Template
    from tests.hosts.installation import Installation

TABLE = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def template() -> Iterator[Template]:
    """A database as it is right after `migrate`; each test has a copy, and a server, of its own."""
    from channels import sandbox
    from tests.faults.database import servers

    with servers.template(sandbox.environment(9, 9)) as made:
        yield made


@pytest.fixture(scope="session")
def hosts_can_be() -> None:
    from tests.hosts import network

    if reason := network.why_not():
        pytest.skip(reason)


@pytest.fixture
def installation(
    hosts_can_be: None,
    request: pytest.FixtureRequest,
    django_db_blocker: DjangoDbBlocker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Installation]:
    """Two web hosts, three worker hosts, and one each for the database, the broker, the provider and the clients."""
    from tests.hosts.installation import installed

    monkeypatch.setenv("NO_PROXY", "*")  # nobody outside is asked the way to a host
    template = request.getfixturevalue("template")  # only where there can be hosts: it takes seconds
    with django_db_blocker.unblock(), installed(template, tmp_path) as made:
        yield made


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """Lines of what was measured, which the run ends with, below the test's name."""
    lines: list[str] = []
    yield lines
    if lines:
        table = request.config.stash.setdefault(TABLE, [])
        table += [request.node.name.removeprefix("test_").replace("_", " "), *(f"    {line}" for line in lines)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(TABLE, []):
        terminalreporter.section("several hosts")
        for line in lines:
            terminalreporter.write_line(line)
