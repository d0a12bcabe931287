"""The first page in a real browser: a newcomer sends a test and watches it go, by a real worker to the sandbox."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from channels.sandbox.faults import Fault, Kind
from tests.browser.visits import Visits, serious

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.faults.site import Site

pytestmark = pytest.mark.timeout(180)
SEND = "form button[type=submit]"
REFUSAL = "the server responded with a status of 400"  # which the browser tells of in its console


@pytest.fixture(scope="module")
def own_url(site: Site) -> Iterator[str]:
    """The same site as a developer has it, with DEBUG."""
    web, port = site.start_web(DEBUG="on")
    url = f"http://127.0.0.1:{port}"
    site.urls.remove(url)  # the other tests' clients post to theirs
    yield url
    site.end(web)


@pytest.fixture
def own(chromium: Browser, site: Site, own_url: str, request: pytest.FixtureRequest) -> Iterator[Visits]:
    visits = Visits(chromium, own_url, Path(request.config.rootpath) / "artifacts" / "screens")
    try:
        yield visits
    finally:
        visits.close()
        site.provider.faults.clear()
    assert visits.problems == []


def count(text: str) -> int:
    from notifications.models import Notification

    return Notification.objects.filter(body=text, client__name="first run").count()


def unique() -> str:
    return f"Hello {uuid.uuid4()}"


def test_a_newcomer_sends_one_and_watches_it_become_sent(own: Visits, site: Site) -> None:
    site.provider.faults.set("email", Fault(kind=Kind.LATENCY, latency_ms=1500, times=1))
    text = unique()
    page = own.page()
    page.goto("/")
    own.screenshot(page, "first-run")
    page.check("input[value=email]", force=True)
    suggested = page.input_value("#to")
    page.fill("#message", text)
    page.click(SEND)
    page.wait_for_selector(".headline:text-is('A worker is sending it')")
    under_way = page.inner_text("#way .steps")
    page.wait_for_selector(".headline.done")
    own.screenshot(page, "first-run-sent")

    assert suggested == "ann@example.com"
    assert "under way" in under_way
    assert page.inner_text(".headline").startswith("Sent in ")
    assert page.locator(".steps .done").all_inner_texts()[2].startswith("sent")
    assert "250" in page.inner_text(".story")
    assert page.inner_text("#said") == page.inner_text(".headline")  # to whoever listens
    assert page.url == f"{own.url}/"
    assert count(text) == 1


def test_it_is_found_in_the_sandbox_and_in_the_admin(own: Visits) -> None:
    text = unique()
    page = own.page()
    page.goto("/")
    page.fill("#message", text)
    page.click(SEND)
    page.wait_for_selector(".headline.done")
    in_admin = page.get_attribute(".onward a:text-is('Open it in the admin')", "href")
    page.click(".onward a:text-is('See it in the sandbox')")
    page.wait_for_selector(f"#messages .body:text-is('{text}')")
    shown = page.locator("#messages li").count()
    own.problems.clear()  # the sandbox is another site

    assert shown == 1
    own.log_in(page)
    page.goto(str(in_admin))
    assert text in page.content()


def test_a_double_click_makes_one_and_says_so_and_another_has_another_key(own: Visits) -> None:
    text = unique()
    page = own.page()
    page.goto("/")
    page.fill("#message", text)
    page.dblclick(SEND)
    page.wait_for_selector("#again:visible")
    page.wait_for_selector(".headline.done")
    own.screenshot(page, "first-run-twice")
    key, made = page.inner_text("#key-shown"), count(text)
    page.click("#another")
    page.click(SEND)
    page.wait_for_function(
        "key => document.querySelector('#way .story').innerText.includes(key)", arg=page.input_value("#key")
    )

    assert made == 1
    assert page.input_value("#key") != key
    assert page.is_hidden("#again")
    assert count(text) == 2


def test_what_is_changed_is_another_request_and_has_another_key(own: Visits) -> None:
    texts = [unique(), unique()]
    page = own.page()
    page.goto("/")
    for text in texts:
        page.fill("#message", text)
        page.click(SEND)
        page.wait_for_selector(f".story:has-text('{page.input_value('#key')}')")

    assert [count(text) for text in texts] == [1, 1]


def test_what_is_wrong_is_shown_beside_its_field_and_can_be_mended(own: Visits) -> None:
    text = unique()
    page = own.page()
    page.goto("/")
    page.fill("#to", "nobody")
    page.fill("#message", text)
    page.click(SEND)
    page.wait_for_selector("#error-to:visible")
    own.screenshot(page, "first-run-error")
    complaints = serious(page)
    words, focused = page.inner_text("#error-to"), page.evaluate("document.activeElement.id")
    page.fill("#to", "default")
    page.click(SEND)
    page.wait_for_selector(".headline.done")

    assert "is not the name of a Slack webhook" in words
    assert focused == "to"
    assert complaints == []
    assert page.is_hidden("#error-to")
    assert count(text) == 1
    assert [each for each in own.problems if REFUSAL not in each] == []
    own.problems.clear()


def test_one_that_fails_says_what_the_provider_answered(own: Visits, site: Site) -> None:
    site.provider.faults.set("slack", Fault(kind=Kind.STATUS, status=400, body="invalid_payload", times=1))
    page = own.page()
    page.goto("/")
    page.click(SEND)
    page.wait_for_selector(".headline.bad")

    assert page.inner_text(".headline") == "Failed: invalid_payload"
    assert "answered 400" in page.inner_text(".story")
    assert serious(page) == []


def test_it_works_without_scripts(own: Visits, site: Site) -> None:
    site.provider.faults.set("sms", Fault(kind=Kind.LATENCY, latency_ms=1500, times=1))
    text = unique()
    page = own.page(scripts=False)
    page.goto("/")
    page.check("input[value=sms]", force=True)
    page.fill("#message", text)
    page.click(SEND)
    under_way = page.inner_text(".headline")
    page.wait_for_selector(".headline.done")  # the page loads itself again
    own.screenshot(page, "first-run-without-scripts")

    assert not under_way.startswith("Sent")
    assert "+14155552671" in page.inner_text("#way")
    assert count(text) == 1
    page.goto("/")
    page.fill("#to", "nobody")
    page.click(SEND)
    assert "is not the name of a Slack webhook" in page.inner_text("#error-to")
    assert page.input_value("#to") == "nobody"
    assert [each for each in own.problems if REFUSAL not in each] == []
    own.problems.clear()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_can_be_read_and_used_on_a_telephone(own: Visits, dark: bool) -> None:
    page = own.page(width=390, height=844, dark=dark)
    page.goto("/")
    before = serious(page)
    page.click(SEND)
    page.wait_for_selector(".headline.done")
    own.screenshot(page, f"first-run-390-{'dark' if dark else 'light'}")

    assert before == []
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    # What was asked for is in sight, though it is below the form.
    assert page.locator(".headline").evaluate("it => it.getBoundingClientRect().top < innerHeight")


def test_in_production_strangers_see_next_to_nothing_and_staff_how_it_stands(page: Page, visits: Visits) -> None:
    page.goto("/")
    stranger = page.inner_text("main")
    visits.screenshot(page, "first-run-public")
    complaints = serious(page)
    visits.log_in(page)
    page.goto("/")
    state = page.inner_text("main")
    page.click(SEND)
    page.wait_for_selector(".headline.done")
    visits.screenshot(page, "first-run-staff")

    assert "API documentation" in stranger
    assert "What is running" not in stranger
    assert complaints == []
    assert "What is running" in state
    assert "password" not in state
    assert serious(page) == []
