"""Somebody holds an old snapshot open: a report, a dump, a forgotten session. Vacuum removes nothing meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from .servers import Template
from .service import Service

pytestmark = pytest.mark.timeout(300)  # a bound for a machine that is busy; each has its own deadlines

ServiceOn = Callable[[str], AbstractContextManager[Service]]


def test_under_an_old_snapshot_all_is_sent_and_nothing_is_skipped(template: Template, service_on: ServiceOn) -> None:
    with template.server() as server, service_on(server.url) as service, server.connect() as report:
        service.start(workers=2)
        report.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        before = report.execute("SELECT count(*) FROM notification").fetchone()
        with service.load(rate=0):
            service.until_more_are_accepted(200, seconds=60)
        service.settle()

        assert report.execute("SELECT count(*) FROM notification").fetchone() == before, "the snapshot is still held"
        found = service.check()
        assert not found.doubled
        assert not service.refused()
