"""What is posted by the name of a template is accepted as what the template says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.http import HttpResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notifications.models import IdempotencyRecord, Notification, Template
from tests.eventually import eventually
from tests.integration.templates import VARIABLES, template, version

from .callers import Caller

NOTIFICATIONS = "/api/v1/notifications"
BATCH = "/api/v1/notifications/batch"
EMAIL = {"channel": "email", "to": "ann@example.com", "variables": VARIABLES}
SMS = {"channel": "sms", "to": "+14155552671", "variables": VARIABLES}


def problems(answer: HttpResponse) -> list[tuple[str, str]]:
    assert answer.status_code == 400, answer.content
    assert not Notification.objects.exists()
    assert not IdempotencyRecord.objects.exists()
    return [(error["field"], error["code"]) for error in json.loads(answer.content)["errors"]]


def test_a_template_writes_subject_and_message(caller: Caller) -> None:
    name = template().template.name
    answer = caller.post(NOTIFICATIONS, {**EMAIL, "template": name})

    assert answer.status_code == 202, answer.content
    stored = Notification.objects.get()
    assert (stored.subject, stored.body) == ("Order 42", "Dear Ann,\nyour order 42 is on its way.")
    assert stored.template == f"{name}@1"
    shown = json.loads(caller.get(json.loads(answer.content)["links"]["self"]).content)
    assert (shown["template"], shown["message"]) == (f"{name}@1", stored.body)


def test_without_a_template_there_is_none(caller: Caller) -> None:
    answer = caller.post(NOTIFICATIONS, {"channel": "sms", "to": "+14155552671", "message": "hello"})

    assert json.loads(caller.get(json.loads(answer.content)["links"]["self"]).content)["template"] is None


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/api/v1/slack", {}, "A &lt;!channel&gt; has bought <https://example.com|something>."),
        ("/api/v1/mail", {"send_to": "ann@example.com"}, "Dear A <!channel>,\nyour order 42 is on its way."),
        ("/api/v1/sms", {"send_to_number": "+14155552671"}, "Order 42 is on its way."),
    ],
)
def test_the_short_forms_take_templates_and_each_channel_its_own_escapes(
    caller: Caller, path: str, body: dict[str, Any], text: str
) -> None:
    variables = {**VARIABLES, "name": "A <!channel>"}
    answer = caller.post(path, {**body, "template": template().template.name, "variables": variables})

    assert answer.status_code == 202, answer.content
    assert Notification.objects.get().body == text


def test_a_batch_has_one_template_or_many_and_none(caller: Caller) -> None:
    name = template().template.name
    several = [{**EMAIL, "template": name}, {"channel": "slack", "message": "plain"}, {**SMS, "template": name}]
    answer = caller.post(BATCH, {"notifications": several})

    assert answer.status_code == 202, answer.content
    assert [row.template for row in Notification.objects.order_by("id")] == [f"{name}@1", None, f"{name}@1"]


def test_the_current_version_is_used_or_the_one_that_is_named(caller: Caller) -> None:
    first = template({"sms": {"message": "one"}})
    version(first.template, {"sms": {"message": "two"}})
    name = first.template.name
    for named in ({}, {"template_version": None}, {"template_version": 1}):
        assert caller.post(NOTIFICATIONS, {**SMS, "template": name, **named}).status_code == 202

    assert [(row.body, row.template) for row in Notification.objects.order_by("id")] == [
        ("two", f"{name}@2"),
        ("two", f"{name}@2"),
        ("one", f"{name}@1"),
    ]


def test_a_variable_that_is_missing_is_named_each_of_them(caller: Caller) -> None:
    name = template().template.name

    assert problems(caller.post(NOTIFICATIONS, {**EMAIL, "template": name, "variables": {}})) == [
        ("variables.order.number", "missing_variable"),
        ("variables.name", "missing_variable"),
    ]
    answer = caller.post(
        BATCH, {"notifications": [{**EMAIL, "template": name}, {**SMS, "template": name, "variables": {}}]}
    )
    assert problems(answer) == [("notifications[1].variables.order.number", "missing_variable")]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"template": "no-such-template"}, ("template", "unknown_template")),
        ({"template": ""}, ("template", "blank")),
        ({"template": None}, ("template", "null")),
        ({"template": 5}, ("template", "invalid")),
        ({"template": "a\x01b' OR 1"}, ("template", "unknown_template")),
        ({"template_version": 2}, ("template_version", "unknown_version")),
        ({"template_version": 0}, ("template_version", "min_value")),
        ({"template_version": 2**31}, ("template_version", "max_value")),
        ({"template_version": "1"}, ("template_version", "invalid")),
        ({"variables": []}, ("variables", "invalid")),
        ({"variables": None}, ("variables", "null")),
        ({"variables": {"a": "x" * 16_400}}, ("variables", "max_length")),
        ({"variables": {"order": {"number": []}}}, ("variables.order.number", "unsuitable_variable")),
        ({"message": "hello"}, ("message", "with_template")),
        ({"subject": "hello"}, ("subject", "with_template")),
        ({"html": "<p>hello</p>"}, ("html", "with_template")),
        ({"channel": "slack", "to": "default"}, ("variables.name", "missing_variable")),
        ({"channel": "fax"}, ("channel", "unknown_channel")),
        ({"to": "nobody"}, ("to", "invalid_phone_number")),
        ({"variables": {"order": {"number": "1" * 2000}}}, ("message", "too_long")),
    ],
)
def test_what_cannot_be_written_out_is_told_by_its_field_and_nothing_is_stored(
    caller: Caller, fields: dict[str, Any], problem: tuple[str, str]
) -> None:
    name = template().template.name
    body = {**SMS, "template": name, "variables": {"order": {"number": 42}}, **fields}

    assert problems(caller.post(NOTIFICATIONS, body)) == [problem]


def test_a_template_may_have_nothing_for_a_channel(caller: Caller) -> None:
    name = template({"sms": {"message": "x"}}).template.name

    assert problems(caller.post(NOTIFICATIONS, {**EMAIL, "template": name})) == [("template", "not_for_channel")]


def test_a_template_that_was_switched_off_is_unknown(caller: Caller) -> None:
    name = template(is_active=False).template.name

    for version_ in (None, 1):
        body = {**EMAIL, "template": name, "template_version": version_}
        assert problems(caller.post(NOTIFICATIONS, body)) == [("template", "unknown_template")]


@pytest.mark.parametrize("field", ["variables", "template_version"])
def test_what_belongs_to_a_template_is_refused_without_one(caller: Caller, field: str) -> None:
    body = {"channel": "sms", "to": "+14155552671", "message": "x", field: {} if field == "variables" else 1}

    assert problems(caller.post(NOTIFICATIONS, body)) == [(field, "unknown_field")]


def test_a_subject_of_several_lines_is_refused_whatever_the_variable(caller: Caller) -> None:
    name = template({"email": {"subject": "To {{ name }}", "message": "x"}}).template.name
    body = {**EMAIL, "template": name, "variables": {"name": "Ann\nBcc: bob@example.com"}}

    assert problems(caller.post(NOTIFICATIONS, body)) == [("subject", "invalid_characters")]


def test_no_error_repeats_a_variable(caller: Caller) -> None:
    name = template({"sms": {"message": "{{ a|date }}{{ b }}{{ c }}"}}).template.name
    answer = caller.post(NOTIFICATIONS, {**SMS, "template": name, "variables": {"a": "secret", "b": ["secret"]}})

    assert len(problems(answer)) == 1
    assert b"secret" not in answer.content


def test_another_version_is_used_and_a_template_is_gone_within_a_second(caller: Caller) -> None:
    first = template({"sms": {"message": "one"}})
    body = {**SMS, "template": first.template.name}
    caller.post(NOTIFICATIONS, body)
    version(first.template, {"sms": {"message": "two"}})
    eventually(lambda: caller.post(NOTIFICATIONS, body) and Notification.objects.latest("id").body == "two")
    first.template.delete()
    eventually(lambda: caller.post(NOTIFICATIONS, body).status_code == 400)


def test_a_retry_replays_though_the_template_was_changed_or_is_gone(caller: Caller) -> None:
    first = template({"sms": {"message": "one {{ order.number }}"}})
    body = {**SMS, "template": first.template.name}
    accepted = caller.post(NOTIFICATIONS, body, key="k").content
    version(first.template, {"sms": {"message": "two {{ another }}"}})
    eventually(lambda: caller.post(NOTIFICATIONS, body).status_code == 400)
    again = caller.post(NOTIFICATIONS, body, key="k")
    first.template.delete()
    eventually(lambda: b"unknown_template" in caller.post(NOTIFICATIONS, body).content)
    still = caller.post(NOTIFICATIONS, body, key="k")
    other = caller.post(NOTIFICATIONS, {**body, "variables": {"order": {"number": 43}}}, key="k")

    assert [answer.status_code for answer in (again, still, other)] == [202, 202, 400]
    assert again.content == still.content == accepted
    assert again["Idempotent-Replayed"] == still["Idempotent-Replayed"] == "true"
    assert Notification.objects.filter(idempotency_key="k").get().body == "one 42"


def test_other_variables_under_one_key_are_another_request(caller: Caller) -> None:
    name = template().template.name
    caller.post(NOTIFICATIONS, {**SMS, "template": name}, key="k")
    answer = caller.post(NOTIFICATIONS, {**SMS, "template": name, "variables": {"order": {"number": 43}}}, key="k")

    assert answer.status_code == 422


def test_a_batch_that_runs_away_ends_and_says_so(caller: Caller) -> None:
    loops = "{% for a in l %}" * 3 + "x" + "{% endfor %}" * 3
    name = template({"sms": {"message": f"{loops}{{{{ order.number }}}}"}}).template.name
    one = {**SMS, "template": name, "variables": {"l": [1] * 24, "order": {"number": 1}}}
    answer = caller.post(BATCH, {"notifications": [one] * 1000})

    found = problems(answer)
    assert {code for _, code in found} <= {"too_much", "too_long"}


GIVEN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "order", "number"]), inner),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.fixed_dictionaries(
        {"variables": GIVEN},
        optional={
            "template": GIVEN,
            "template_version": st.sampled_from([None, 1, 2, "1"]) | GIVEN,
            "message": GIVEN,
            "channel": st.sampled_from(["slack", "email", "sms"]),
        },
    )
)
def test_whatever_is_asked_of_a_template_is_accepted_or_told_what_is_wrong(
    caller: Caller, fields: dict[str, Any]
) -> None:
    name = template(name="any").template.name if not Template.objects.filter(name="any").exists() else "any"
    answer = caller.post(NOTIFICATIONS, {**SMS, "template": name, **fields})

    told = json.loads(answer.content)
    assert (
        answer.status_code == 202
        or (answer.status_code, bool(told.get("errors"))) == (400, True)
        or (told["code"] == "malformed_json")
    )
