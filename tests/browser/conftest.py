"""One browser and one live site for all of these tests: a web server, a worker and the sandbox, as in production.

The processes outlive a test, so their database is not emptied after each: tests make rows of their own and ask for
those. Django is not set up yet when this is read: what needs its models is imported where it is used.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from pytest_django import DjangoDbBlocker

from channels.sandbox.faults import Fault, Kind
from tests.browser.visits import Visits
from tests.eventually import eventually

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.faults.site import Site

PROGRAM = shutil.which("chromium")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no internet, whatever this machine has
)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    if PROGRAM is None:
        pytest.skip("chromium is not installed (Debian: chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with pytest.MonkeyPatch.context() as patch, playwright.sync_playwright() as running:
        # Playwright keeps an event loop in this thread, and Django takes that for a coroutine that would block it.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        browser = running.chromium.launch(executable_path=PROGRAM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def database(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A migrated database of these tests alone, in which this process reads, too."""
    from django.db import connection

    name, before = "notifier_in_a_browser", connection.settings_dict["NAME"]

    def use(other: str) -> None:
        connection.close()
        connection.settings_dict["NAME"] = other

    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            cursor.execute(f"CREATE DATABASE {name}")
        use(name)
        try:
            call_command("migrate", interactive=False, verbosity=0)
            yield
        finally:
            use(before)
            with connection.cursor() as cursor:
                cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
            connection.close()


@pytest.fixture(scope="package")
def site(chromium: Browser, database: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Its `urls[0]` is where it is, `provider.faults` is what goes wrong."""
    from tests.faults.site import Site

    class Played(Site):
        """All of its programs know that tests go to the same sandbox: a worker that did not would pause their lanes."""

        def environment(self, **extra: str) -> dict[str, str]:
            port = str(self.provider.smtp_port)
            return super().environment(SANDBOX_URL=self.provider.url, SANDBOX_SMTP_PORT=port, **extra)

    with Played(tmp_path_factory.mktemp("site")) as running:
        running.start()
        yield running


@pytest.fixture
def visits(chromium: Browser, site: Site, request: pytest.FixtureRequest) -> Iterator[Visits]:
    """What this test's pages complained of fails it, unless it has looked at that and cleared it."""
    with ExitStack() as stack:
        stack.callback(site.provider.faults.clear)
        visits = Visits(chromium, site.urls[0], Path(request.config.rootpath) / "artifacts" / "screens")
        stack.callback(visits.close)
        yield visits
    assert visits.problems == []


@pytest.fixture
def page(visits: Visits) -> Page:
    return visits.page()


@pytest.fixture
def narrow(visits: Visits) -> Page:
    """A telephone's width."""
    return visits.page(width=390, height=844)


@pytest.fixture
def failed(site: Site) -> Callable[..., str]:
    """Accept one that its provider refuses for good, and wait until it has failed: `failed("hello")` is its id."""
    from notifications.models import Notification

    def make(text: str) -> str:
        site.provider.faults.set("slack", Fault(kind=Kind.STATUS, status=400, body="invalid_payload", times=1))
        site.post(text)
        found = eventually(
            lambda: Notification.objects.filter(body=text, status="failed").first(), seconds=20, what="a failure"
        )
        return str(found.pk)

    return make
