"""Templates for callers in the same process: plain JSON, whatever objects they hold; and one share for a batch."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest
from django.db import transaction
from django.utils.safestring import mark_safe
from pytest_django import Settings

from notifications import services
from notifications.models import Client, Notification, Template, TemplateVersion
from notifications.services import KeyReused, NotificationRequest, Refused
from tests.factories import ClientFactory
from tests.integration.templates import VARIABLES, template, version

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def client() -> Client:
    return ClientFactory()


@pytest.fixture(autouse=True)
def configured(slack: None, settings: Settings) -> None:
    known = settings.NOTIFIER_CHANNELS
    sms = {**known["sms"], "account_sid": f"AC{'0' * 32}", "auth_token": "t" * 32, "from_number": "+15005550006"}
    settings.NOTIFIER_CHANNELS = {**known, "sms": sms}


def asked(name: str, **fields: Any) -> NotificationRequest:
    return NotificationRequest(**{"channel": "slack", "template": name, "variables": VARIABLES, **fields})


def refusal(client: Client, request: NotificationRequest) -> list[tuple[str, str]]:
    with pytest.raises(Refused) as refused:
        services.accept(client, request, key="k")
    assert not Notification.objects.exists()
    return [(problem.field, problem.code) for problem in refused.value.problems]


def test_a_template_is_accepted_in_the_callers_transaction(client: Client) -> None:
    name = template().template.name
    with transaction.atomic():
        services.accept(client, asked(name), key="k")
    with transaction.atomic():
        services.accept(client, asked(name), key="l")
        transaction.set_rollback(True)

    stored = Notification.objects.get()
    assert (stored.body, stored.template) == ("Ann has bought <https://example.com|something>.", f"{name}@1")


@pytest.mark.parametrize(
    "value",
    [Decimal(1), datetime(2030, 1, 31, tzinfo=UTC), b"x", object(), {1, 2}, math.nan, "\ud800", 10**5000, len],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_json_does_not_have_is_no_variable(client: Client, value: object) -> None:
    assert refusal(client, asked(template().template.name, variables={"name": value})) == [("variables", "invalid")]


@pytest.mark.parametrize("variables", [[], "text", {1: "a", "b": 2}, {"a": {1: 2, "b": 3}}], ids=repr)
def test_variables_are_an_object_with_names(client: Client, variables: Any) -> None:
    assert refusal(client, asked(template().template.name, variables=variables)) == [("variables", "invalid")]


def test_any_mapping_is_an_object(client: Client) -> None:
    services.accept(client, asked(template().template.name, variables=MappingProxyType(VARIABLES)), key="k")

    assert Notification.objects.get().body.startswith("Ann")


def test_variables_that_hold_themselves_are_refused(client: Client) -> None:
    itself: dict[str, Any] = {}
    itself["name"] = itself
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    for variables in (itself, {"name": deep}):
        assert refusal(client, asked(template().template.name, variables=variables)) == [("variables", "invalid")]


def test_a_text_that_says_it_is_safe_is_escaped_like_any_other(client: Client) -> None:
    services.accept(client, asked(template().template.name, variables={"name": mark_safe("<!channel>")}), key=None)

    assert Notification.objects.get().body.startswith("&lt;!channel&gt; has bought")


def test_a_variable_with_a_nul_is_refused(client: Client) -> None:
    name = template().template.name

    assert refusal(client, asked(name, variables={"name": "a\x00"})) == [("variables", "unsuitable_variable")]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"message": "x"}, ("message", "with_template")),
        ({"subject": "x"}, ("subject", "with_template")),
        ({"template": "", "message": "x"}, ("variables", "without_template")),
        ({"template": "", "variables": None, "template_version": 1}, ("template_version", "without_template")),
        ({"channel": "fax"}, ("channel", "unknown_channel")),
        ({"channel": "webhook"}, ("channel", "unknown_channel")),
        ({"template": "none-such"}, ("template", "unknown_template")),
        ({"template": "a\x00"}, ("template", "unknown_template")),
        ({"template_version": 10**30}, ("template_version", "unknown_version")),
        ({"template_version": -1}, ("template_version", "unknown_version")),
    ],
)
def test_what_does_not_go_together_is_refused(client: Client, fields: Any, problem: tuple[str, str]) -> None:
    assert refusal(client, asked(template().template.name, **fields)) == [problem]


def test_a_key_is_for_what_was_asked_and_not_for_what_the_template_says(client: Client) -> None:
    first = template()
    name = first.template.name
    accepted = services.accept(client, asked(name), key="k")
    version(first.template, {"slack": {"message": "{{ name }} has gone."}})
    same = asked(name, variables=dict(reversed(VARIABLES.items())))
    assert services.accept(client, same, key="k").body == accepted.body
    for other in (
        asked(name, template_version=1),
        asked(name, variables={**VARIABLES, "more": 1}),
        NotificationRequest(channel="slack", message=Notification.objects.get().body),
    ):
        with pytest.raises(KeyReused):
            services.accept(client, other, key="k")


def test_a_request_without_a_template_has_the_fingerprint_that_it_had() -> None:
    request = NotificationRequest(channel="slack", message="hello")

    assert request.fingerprint().hex() == "72e68ce5ae03aede4c56e0e1e5e809a2fef7ddb57717bd2dd388727a4023e317"


def test_a_stored_text_that_can_no_longer_be_read_is_told(client: Client) -> None:
    made = Template.objects.create(name="of-an-earlier-release", current=1)
    TemplateVersion.objects.create(
        template=made, number=1, bodies={"slack": {"message": "{{ x|safe }}"}}, created_by="x"
    )

    assert refusal(client, asked(made.name)) == [("template", "invalid_template")]


def test_a_batch_shares_what_may_be_spent(client: Client) -> None:
    name = template({"slack": {"message": "{% for a in l %}{{ a }}{% endfor %}"}}).template.name
    one = asked(name, variables={"l": list(range(2500))})
    services.accept_batch(client, [one] * 40, key=None)
    with pytest.raises(Refused) as refused:
        services.accept_batch(client, [one] * 200, key=None)

    assert {problem.code for problem in refused.value.problems} == {"too_much"}
    assert len(refused.value.problems) == services.MOST_PROBLEMS
    assert Notification.objects.count() == 40


def test_versions_are_numbered_without_gaps_and_the_newest_is_used(client: Client) -> None:
    first = template()
    with pytest.raises(Refused), transaction.atomic():
        version(first.template, {"slack": {"message": "{{"}, "sms": {"message": "{% if %}"}})
    second = version(first.template, {"slack": {"message": "two"}})
    services.use_template_version(first)
    third = version(first.template, {"slack": {"message": "three"}})

    assert [second.number, third.number] == [2, 3]
    assert Template.objects.get().current == 3
