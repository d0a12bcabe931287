"""Whatever an operator does in the admin is kept among the operations, once, with who did it, and without secrets."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client as Browser

from notifications.models import ApiKey, Client, Operation, Suppression, Template
from tests.factories import ApiKeyFactory, WebhookEndpointFactory
from tests.integration.admin.pages import KEYS, OPERATIONS, WEBHOOKS, chosen_rows, shown
from tests.integration.staff import only_looking
from tests.integration.templates import template

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("poster")]

CLIENTS = "/admin/notifications/client/"
SUPPRESSIONS = "/admin/notifications/suppression/"
TEMPLATES = "/admin/notifications/template/"
USERS, GROUPS = "/admin/auth/user/", "/admin/auth/group/"
ANN = {"channel": "sms", "recipient": "+14155552671", "reason": "manual", "detail": ""}


def noted() -> list[tuple[str, str, int, str]]:
    """What is in the audit; all of it by ada, in the admin."""
    rows = Operation.objects.order_by("id")
    assert {(row.actor, row.via, row.state) for row in rows} <= {("ada", "admin", "done")}
    return [(row.act, row.subject, row.touched, row.detail) for row in rows]


def test_a_client_that_is_made_and_changed(browser: Browser) -> None:
    browser.post(f"{CLIENTS}add/", {"name": "billing", "is_active": "on", "rate_limit": "60"})
    address = f"{CLIENTS}{Client.objects.get(name='billing').pk}/change/"
    for _ in range(2):  # the second changes nothing
        browser.post(address, {"name": "billing", "rate_limit": "600"})

    changed = "is_active True → False, rate_limit 60 → 600"
    assert noted() == [("make client", "billing", 1, ""), ("change client", "billing", 1, changed)]


def test_keys_that_are_made_and_revoked(browser: Browser, poster: Client) -> None:
    answer = browser.post(f"{KEYS}add/", {"client": poster.pk, "name": "ci", "scopes": ["send", "read"]})
    made = ApiKey.objects.get()
    others = [ApiKeyFactory(client=poster), ApiKeyFactory(client=poster)]
    browser.post(KEYS, chosen_rows(made.pk, action="revoke"))
    for _ in range(2):  # the second finds none that is valid
        browser.post(KEYS, chosen_rows(made.pk, *(each.pk for each in others), action="revoke"))

    assert noted() == [
        ("make key", f"{made} of shop", 1, "send, read"),
        ("revoke key", f"{made} of shop", 1, ""),
        ("revoke key", "2 keys", 2, ""),
    ]
    (text,) = re.findall(r"nk_[0-9a-f]{8}_[\w-]+", answer.content.decode())
    assert text not in str(noted())


def test_recipients_that_are_suppressed_and_allowed_are_masked(browser: Browser) -> None:
    browser.post(f"{SUPPRESSIONS}add/", ANN)
    one = Suppression.objects.get().pk
    browser.post(f"{SUPPRESSIONS}add/", ANN)
    for _ in range(2):
        browser.post(SUPPRESSIONS, chosen_rows(one, action="unsuppress"))
    browser.post(f"{SUPPRESSIONS}add/", {**ANN, "channel": "email", "recipient": "ann@example.com"})
    browser.post(f"{SUPPRESSIONS}add/", ANN)
    browser.post(SUPPRESSIONS, chosen_rows(*Suppression.objects.values_list("pk", flat=True), action="unsuppress"))

    assert noted() == [
        ("suppress", "sms +1415•••••71", 1, "manual"),
        ("allow", "sms +1415•••••71", 1, ""),
        ("suppress", "email a•••@example.com", 1, "manual"),
        ("suppress", "sms +1415•••••71", 1, "manual"),
        ("allow", "2 recipients", 2, ""),
    ]


def test_templates_that_are_made_written_used_changed_and_deleted(browser: Browser) -> None:
    browser.post(f"{TEMPLATES}add/", {"name": "order-shipped", "description": ""})
    made = Template.objects.get()
    for text in ("one", "two"):
        given = {"sms.message": text, "example": "{}", "note": f"Says {text}.", "_save": ""}
        browser.post(f"{TEMPLATES}{made.pk}/versions/new/", given)
    browser.post(f"{TEMPLATES}{made.pk}/versions/1/use/")
    browser.post(f"{TEMPLATES}{made.pk}/change/", {"description": "To buyers."})
    browser.post(f"{TEMPLATES}{made.pk}/delete/", {"post": "yes"})

    assert noted() == [
        ("make template", "order-shipped", 1, ""),
        ("write version", "order-shipped@1", 1, "Says one."),
        ("write version", "order-shipped@2", 1, "Says two."),
        ("use version", "order-shipped@1", 1, ""),
        ("change template", "order-shipped", 1, "description, is_active True → False"),
        ("delete template", "order-shipped", 1, ""),
    ]


def test_webhooks_that_are_stopped_without_what_their_address_hides(browser: Browser, poster: Client) -> None:
    first = WebhookEndpointFactory(client=poster, url="https://example.com/told?key=h1dden")
    others = [WebhookEndpointFactory(client=poster), WebhookEndpointFactory(client=poster)]
    for _ in range(2):
        browser.post(WEBHOOKS, chosen_rows(first.pk, action="deactivate"))
    browser.post(WEBHOOKS, chosen_rows(*(each.pk for each in others), action="deactivate"))

    assert noted() == [
        ("stop webhook", "https://example.com/told?••• of shop", 1, ""),
        ("stop webhook", "2 webhooks", 2, ""),
    ]


def test_users_and_groups_that_are_made_changed_and_deleted_without_their_passwords(browser: Browser) -> None:
    secret = {"usable_password": "true", "password1": "a long enough secret", "password2": "a long enough secret"}
    browser.post(f"{USERS}add/", {"username": "carol", **secret})
    carol = User.objects.get(username="carol")
    browser.post(f"{GROUPS}add/", {"name": "on duty", "permissions": [Permission.objects.earliest("pk").pk]})
    group = Group.objects.get()
    browser.post(f"{USERS}{carol.pk}/change/", changed_user(carol, is_staff="on", groups=[group.pk]))
    browser.post(f"{USERS}{carol.pk}/password/", {**secret, "password2": "another"})
    browser.post(f"{USERS}{carol.pk}/password/", secret)
    browser.post(f"{USERS}{carol.pk}/delete/", {"post": "yes"})
    browser.post(GROUPS, {**chosen_rows(group.pk, action="delete_selected"), "post": "yes"})

    assert noted() == [
        ("make account", "user carol", 1, ""),
        ("make account", "group on duty", 1, ""),
        ("change account", "user carol", 1, "is_staff False → True, groups"),
        ("change account", "user carol", 1, "password"),
        ("delete account", "user carol", 1, ""),
        ("delete account", "group on duty", 1, ""),
    ]


def changed_user(user: User, **fields: object) -> dict[str, object]:
    return {"username": user.username, "is_active": "on", **fields}


def test_who_may_only_look_changes_nothing_and_is_not_noted(poster: Client) -> None:
    key, made = ApiKeyFactory(client=poster), template().template
    webhook = WebhookEndpointFactory(client=poster)
    looking = only_looking()
    bob = User.objects.get(username="bob")

    refused = [
        looking.post(f"{CLIENTS}add/", {"name": "billing"}),
        looking.post(f"{CLIENTS}{poster.pk}/change/", {"name": "other"}),
        looking.post(f"{KEYS}add/", {"client": poster.pk, "scopes": ["send"]}),
        looking.post(f"{SUPPRESSIONS}add/", ANN),
        looking.post(f"{TEMPLATES}{made.pk}/versions/1/use/"),
        looking.post(f"{TEMPLATES}{made.pk}/versions/new/", {"sms.message": "x", "example": "{}"}),
        looking.post(f"{TEMPLATES}{made.pk}/delete/", {"post": "yes"}),
        looking.post(f"{USERS}add/", {"username": "eve"}),
        looking.post(f"{USERS}{bob.pk}/change/", changed_user(bob, is_superuser="on")),
        looking.post(f"{USERS}{bob.pk}/password/", {"password1": "x", "password2": "x"}),
        looking.post(f"{GROUPS}add/", {"name": "mine"}),
    ]
    looking.post(KEYS, chosen_rows(key.pk, action="revoke"))
    looking.post(WEBHOOKS, chosen_rows(webhook.pk, action="deactivate"))

    assert [answer.status_code for answer in refused] == [403] * len(refused)
    assert not Operation.objects.exists()
    assert ApiKey.objects.get().revoked_at is None


# --- who may give rights ---------------------------------------------------------------------------------------


def keeper() -> Browser:
    """Somebody who may change users, and is not one who may do everything."""
    user = User.objects.create_user("kim", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_user", "change_user", "delete_user"]))
    browser = Browser()
    browser.force_login(user)
    return browser


def test_who_may_change_users_gives_themselves_no_rights(operator: User) -> None:
    browser = keeper()
    kim = User.objects.get(username="kim")
    everything = list(Permission.objects.values_list("pk", flat=True))

    browser.post(
        f"{USERS}{kim.pk}/change/",
        changed_user(kim, first_name="Kim", is_staff="on", is_superuser="on", user_permissions=everything),
    )

    kim.refresh_from_db()
    assert (kim.first_name, kim.is_superuser, kim.user_permissions.count()) == ("Kim", False, 3)


def test_those_who_may_do_everything_are_changed_by_such_alone(operator: User) -> None:
    browser = keeper()
    secret = {"password1": "a long enough secret", "password2": "a long enough secret"}

    refused = [
        browser.post(f"{USERS}{operator.pk}/password/", secret),
        browser.post(f"{USERS}{operator.pk}/change/", changed_user(operator)),
        browser.post(f"{USERS}{operator.pk}/delete/", {"post": "yes"}),
        browser.post(USERS, {**chosen_rows(operator.pk, action="delete_selected"), "post": "yes"}),
    ]

    assert [answer.status_code for answer in refused[:3]] == [403] * 3
    assert User.objects.get(pk=operator.pk).password == operator.password


# --- where it is read ------------------------------------------------------------------------------------------


def test_the_audit_is_narrowed_by_act_and_by_actor_and_searched_by_subject(browser: Browser) -> None:
    browser.post(f"{CLIENTS}add/", {"name": "billing", "is_active": "on"})
    browser.post(f"{SUPPRESSIONS}add/", ANN)
    subjects = {"billing", "sms +1415•••••71"}

    def found(query: str) -> set[str]:
        page = shown(browser, f"{OPERATIONS}?{query}")
        return {subject for subject in subjects if re.search(rf"field-subject[^>]*>\s*{re.escape(subject)}", page)}

    assert found("") == subjects
    assert found("act=make+client") == {"billing"}
    assert found("actor=ada") == subjects
    assert found("actor=ben") == set()
    assert found("q=1415") == {"sms +1415•••••71"}
