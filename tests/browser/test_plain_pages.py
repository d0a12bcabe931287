"""The pages for whoever comes without an account, in a real browser."""

from __future__ import annotations

import pytest

from tests.browser.visits import Visits, serious

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_way_in_and_the_problems_can_be_read_on_a_telephone(visits: Visits, dark: bool) -> None:
    page = visits.page(width=390, height=844, dark=dark)
    for name, address in {"index": "/", "problems": "/problems"}.items():
        page.goto(address)
        visits.screenshot(page, f"{name}-390-{'dark' if dark else 'light'}")

        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == 390
