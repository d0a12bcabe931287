"""A worker host is cut off, from everything or from one other host, and healed."""

from __future__ import annotations

import pytest

from channels.sandbox.faults import Fault, Kind
from tests.eventually import eventually
from tests.hosts.installation import Installation

pytestmark = pytest.mark.timeout(300)


def test_a_start(installation: Installation, tell: list[str]) -> None:
    site = installation.site
    workers = installation.start()
    with site.load(rate=40):
        site.provider.mailbox.wait(50, seconds=30)
    site.settle()
    site.check_no_doubt()
    tell.append("x")
