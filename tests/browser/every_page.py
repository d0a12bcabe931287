"""Every page of the admin, with something on it: where each is, and the rows that make it worth looking at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from playwright.sync_api import Page

ADMIN = "/admin/notifications"


class Place(NamedTuple):
    name: str
    address: str
    then: Callable[[Page], None] | None = None  # from there


def choose(action: str, button: str = "button[name=index]") -> Callable[[Page], None]:
    """Select everything on a list, and ask for an action."""

    def chosen(page: Page) -> None:
        page.check("#action-toggle")
        page.select_option("select[name=action]", action)
        page.click(button)
        page.wait_for_load_state()

    return chosen


def log_out(page: Page) -> None:
    page.evaluate("document.querySelector('form[action*=logout]').submit()")
    page.wait_for_url("**/logout/")


def made(failed: str) -> Iterator[Place]:
    """Make the rows, and say where the pages are. `failed`: the id of a notification that is."""
    from django.contrib.auth.models import Group, Permission, User

    from notifications import services
    from notifications.models import Client, Operation, Suppression, Template
    from tests.factories import ApiKeyFactory, WebhookEndpointFactory

    client, _ = Client.objects.get_or_create(name="billing", defaults={"rate_limit": 600})
    key, test_key = ApiKeyFactory(client=client, name="checkout"), ApiKeyFactory(client=client, is_test=True)
    webhook = WebhookEndpointFactory(client=client, description="of the shop")
    services.suppress("email", "ann.with-a-rather-long-name@mail.example.com", actor="ada", detail="asked by phone")
    services.note("suppress", actor="ada", via=Operation.Via.ADMIN, subject="email a•••@example.com", detail="manual")
    template, new = Template.objects.get_or_create(name="order-on-its-way", defaults={"description": "To buyers."})
    if new:
        for text in ("Order {{ number }} is on its way.", "Dear {{ name }}, {{ number }} is on its way."):
            services.add_template_version(
                template, {"sms": {"message": text}}, example={"number": 42, "name": "Ann"}, created_by="ada"
            )
    services.pause_lane("sms", actor="ada", reason="maintenance at the provider, ticket 4711")
    user, _ = User.objects.get_or_create(username="carol", is_staff=True)
    group, _ = Group.objects.get_or_create(name="on duty")
    group.permissions.set(Permission.objects.filter(codename__startswith="view_"))
    operation = Operation.objects.latest("id")
    suppression = Suppression.objects.latest("id")

    yield Place("dashboard", "/admin/")
    yield Place("notifications", f"{ADMIN}/notification/")
    yield Place("nothing-found", f"{ADMIN}/notification/?q=nobody@example.com")
    yield Place("one", f"{ADMIN}/notification/{failed}/change/")
    yield Place("history", f"{ADMIN}/notification/{failed}/history/")
    yield Place("confirm", f"{ADMIN}/notification/?status=failed", choose("cancel_selected"))
    yield Place("attempts", f"{ADMIN}/operation/attempts/")
    yield Place("operations", f"{ADMIN}/operation/")
    yield Place("operation", f"{ADMIN}/operation/{operation.pk}/change/")
    yield Place("lanes", f"{ADMIN}/lanestate/")
    yield Place("lane-not-found", f"{ADMIN}/lanestate/?q=nobody")
    yield Place("pause", f"{ADMIN}/lanestate/add/?which=slack")
    yield Place("pause-which", f"{ADMIN}/lanestate/add/?which=slak")
    yield Place("resume", f"{ADMIN}/lanestate/resume/?which=sms")
    yield Place("workers", f"{ADMIN}/worker/")
    yield Place("suppressions", f"{ADMIN}/suppression/")
    yield Place("suppression", f"{ADMIN}/suppression/{suppression.pk}/change/")
    yield Place("suppress", f"{ADMIN}/suppression/add/")
    yield Place("templates", f"{ADMIN}/template/")
    yield Place("template", f"{ADMIN}/template/{template.pk}/change/")
    yield Place("template-new", f"{ADMIN}/template/add/")
    yield Place("version", f"{ADMIN}/template/{template.pk}/versions/1/")
    yield Place("version-new", f"{ADMIN}/template/{template.pk}/versions/new/")
    yield Place("template-delete", f"{ADMIN}/template/{template.pk}/delete/")
    yield Place("clients", f"{ADMIN}/client/")
    yield Place("client", f"{ADMIN}/client/{client.pk}/change/")
    yield Place("client-new", f"{ADMIN}/client/add/")
    yield Place("keys", f"{ADMIN}/apikey/")
    yield Place("key", f"{ADMIN}/apikey/{key.pk}/change/")
    yield Place("key-test", f"{ADMIN}/apikey/{test_key.pk}/change/")
    yield Place("key-new", f"{ADMIN}/apikey/add/")
    yield Place("webhooks", f"{ADMIN}/webhookendpoint/")
    yield Place("webhook", f"{ADMIN}/webhookendpoint/{webhook.pk}/change/")
    yield Place("no-webhook", f"{ADMIN}/webhookendpoint/?q=nobody")
    yield Place("users", "/admin/auth/user/")
    yield Place("user", f"/admin/auth/user/{user.pk}/change/")
    yield Place("user-new", "/admin/auth/user/add/")
    yield Place("user-password", f"/admin/auth/user/{user.pk}/password/")
    yield Place("user-delete", f"/admin/auth/user/{user.pk}/delete/")
    yield Place("groups", "/admin/auth/group/")
    yield Place("group", f"/admin/auth/group/{group.pk}/change/")
    yield Place("group-new", "/admin/auth/group/add/")
    yield Place("password", "/admin/password_change/")
    yield Place("password-done", "/admin/password_change/done/")
    yield Place("logged-out", "/admin/", log_out)
