"""Every page, in a real browser, light and dark, at a desk and on a telephone: it can be read, and used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser import every_page
from tests.browser.every_page import Place
from tests.browser.visits import Visits, serious

if TYPE_CHECKING:
    from playwright.sync_api import Page

    from tests.faults.site import Site

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_way_in_and_the_problems_can_be_read_on_a_telephone(visits: Visits, dark: bool) -> None:
    page = visits.page(width=390, height=844, dark=dark)
    for name, address in {"index": "/", "problems": "/problems"}.items():
        page.goto(address)
        visits.screenshot(page, f"{name}-390-{'dark' if dark else 'light'}")

        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") == 390


@pytest.fixture(scope="module")
def places(site: Site) -> Iterator[list[Place]]:
    """Filled by the first test that visits them: the rows are there for all."""
    from notifications import services

    yield []
    services.resume_lane("sms", actor="ada")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_page_of_the_admin_can_be_read_and_fits(
    visits: Visits, failed: Callable[[str], str], places: list[Place], dark: bool, width: int
) -> None:
    if not places:
        places += every_page.made(failed("on every page"))
    page = visits.page(width=width, height=900, dark=dark)
    found = complaints(visits, page, Place("login", "/admin/login/"), width, dark)
    visits.log_in(page)
    for place in places:
        found += complaints(visits, page, place, width, dark)

    assert not found, "\n".join(found)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_where_somebody_may_not_go_or_nothing_is_can_be_read(visits: Visits, dark: bool) -> None:
    page = visits.page(width=390, height=844, dark=dark)
    visits.log_in(page, only_look=True)
    found = {}
    for name, address in {"forbidden": "/admin/notifications/client/add/", "nowhere": "/admin/nowhere/"}.items():
        answer = page.goto(address)
        visits.screenshot(page, f"{name}-390-{'dark' if dark else 'light'}")
        found[name] = answer and answer.status, page.evaluate("document.documentElement.scrollWidth"), serious(page)
    visits.problems.clear()  # the browser says of both that they are none

    assert found == {"forbidden": (403, 390, []), "nowhere": (404, 390, [])}


def complaints(visits: Visits, page: Page, place: Place, width: int, dark: bool) -> list[str]:
    answer = page.goto(place.address)
    found = [] if answer is not None and answer.ok else [f"{place.name}: {answer and answer.status}"]
    if place.then is not None:
        place.then(page)
    visits.screenshot(page, f"{place.name}-{width}-{'dark' if dark else 'light'}")
    wide = page.evaluate("document.documentElement.scrollWidth")
    found += [f"{place.name} is {wide} wide"] if wide > width else []
    return found + [f"{place.name}: {each}" for each in serious(page)]
