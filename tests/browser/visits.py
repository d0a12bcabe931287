"""A test's pages in the browser, and what they complained of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

PASSWORD = "a long enough password"
LOCAL = ("data:", "blob:", "about:")


class Visits:
    def __init__(self, browser: Browser, url: str, screens: Path) -> None:
        self.url = url
        self.problems: list[str] = []  # errors of scripts, of loading, and requests to anywhere but the site
        self._browser, self._screens = browser, screens
        self._contexts: list[BrowserContext] = []

    def page(self, *, width: int = 1280, height: int = 900, dark: bool = False, scripts: bool = True) -> Page:
        context = self._browser.new_context(
            base_url=self.url,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            java_script_enabled=scripts,
        )
        self._contexts.append(context)
        page = context.new_page()
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("request", self._asked)
        page.on("requestfailed", self._not_loaded)
        return page

    def close(self) -> None:
        for context in self._contexts:
            context.close()

    def screenshot(self, page: Page, name: str) -> None:
        self._screens.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=self._screens / f"{name}.png", full_page=True)

    def log_in(self, page: Page, *, only_look: bool = False) -> None:
        """As a person who may do everything, or only look."""
        from django.contrib.auth.models import Permission, User  # the models are not there when this file is read

        name = "bob" if only_look else "ada"
        user, new = User.objects.get_or_create(username=name, is_staff=True, is_superuser=not only_look)
        if new:
            user.set_password(PASSWORD)
            user.save(update_fields=["password"])
        if only_look:
            user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
        page.goto("/admin/login/?next=/admin/notifications/notification/")
        page.fill("#id_username", name)
        page.fill("#id_password", PASSWORD)
        page.press("#id_password", "Enter")
        page.wait_for_url("**/admin/notifications/notification/")

    def _said(self, message: ConsoleMessage) -> None:
        # Browsers ask for an icon by themselves; that there is none is no error of a page.
        if message.type == "error" and not message.location["url"].endswith("/favicon.ico"):
            self.problems.append(f"{message.text} ({message.location['url']})")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.url}/", *LOCAL)):
            self.problems.append(f"asked for {request.url}")

    def _not_loaded(self, request: Request) -> None:
        # What a page was still loading when it was left is no problem of it.
        if request.failure != "net::ERR_ABORTED":
            self.problems.append(f"{request.url}: {request.failure}")


def serious(page: Page) -> list[str]:
    """What axe finds against this page that would keep somebody from using it."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]  # type: ignore[no-untyped-call]
    return [
        f"{each['id']}: {node['target']} {node['html'][:200]}"
        for each in found
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"]
    ]
