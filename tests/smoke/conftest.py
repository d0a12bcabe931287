"""Containers that are really run: `make smoke`. Where no engine is at hand all of it is skipped, and says why."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.smoke.engine import Engine, NoEngineError, find_engine

if TYPE_CHECKING:
    from tests.smoke.stack import Stack

HERE = Path(__file__).parent
TABLE = pytest.StashKey[list[str]]()
STACKS = ("production", "development")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where there is no engine one of them says so for all."""
    if others := [item for item in items if HERE in item.path.parents][1:]:
        try:
            find_engine()
        except NoEngineError:
            config.hook.pytest_deselected(items=others)
            items[:] = [item for item in items if item not in others]


@pytest.fixture(scope="session")
def engine() -> Engine:
    try:
        return find_engine()
    except NoEngineError as missing:
        pytest.skip(f"containers cannot be run: {missing}")


@pytest.fixture(scope="module")
def production(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Production, and the sandbox beside it for a provider; from nothing for each file of tests."""
    # Django is not set up yet when this file is read.
    from tests.smoke.stack import Stack

    with Stack(engine, tmp_path_factory.mktemp("production"), ["production", "sandbox"]) as stack:
        yield stack


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what compose mounts and builds from, to edit."""
    from tests.smoke.stack import copy_checkout

    return copy_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def development(engine: Engine, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    from tests.smoke.stack import Stack

    with Stack(engine, tmp_path_factory.mktemp("development"), ["development"], checkout) as stack:
        yield stack


@pytest.fixture
def told(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Notes a line that the run ends with."""
    return request.config.stash.setdefault(TABLE, []).append


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The containers' logs, beside a failure."""
    report = yield
    fixtures: dict[str, Any] = getattr(item, "funcargs", {})
    if report.failed and report.when == "call":
        report.sections += [(f"containers of {name}", fixtures[name].logs()) for name in STACKS if name in fixtures]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(TABLE, []):
        terminalreporter.section("containers")
        for line in lines:
            terminalreporter.write_line(line)
