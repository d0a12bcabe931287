"""Django is not set up yet when this is read: what needs it is imported where it is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from pytest_django import DjangoDbBlocker

if TYPE_CHECKING:
    from tests.plans.tables import Stages


STAGES = ("dead entries and stale statistics", "dead entries", "fresh", "believed to be empty")


@pytest.fixture(scope="package")
def loaded(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Stages]:
    """Committed rows, for all tests of this folder; each of those undoes what it did."""
    from tests.plans.tables import Stages

    with django_db_blocker.unblock():
        known = Stages()
        try:
            yield known
        finally:
            known.end()


@pytest.fixture(scope="package", params=STAGES)
def stage(request: pytest.FixtureRequest, loaded: Stages, django_db_blocker: DjangoDbBlocker) -> str:
    """What has befallen the tables and what the planner was told of them."""
    name: str = request.param
    with django_db_blocker.unblock():
        loaded.reach(name)
    return name


@pytest.fixture(params=["generic", "custom"])
def mode(request: pytest.FixtureRequest) -> str:
    """How the statement is planned: for all parameters, or for these."""
    name: str = request.param
    return name
