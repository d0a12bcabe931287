"""How templates come to be in the admin: made, looked at, used; and by whom."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission, User
from django.contrib.messages import get_messages
from django.test import Client as Browser
from pytest_django import Settings

from notifications.models import Template, TemplateVersion
from tests.integration.templates import ORDER, VARIABLES, template, version

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/notifications/template/"


@pytest.fixture(autouse=True)
def mail(settings: Settings) -> None:
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {**known, "email": {**known["email"], "sender": "us@example.com", "host": "127.0.0.1"}}


@pytest.fixture
def browser() -> Browser:
    browser = Browser()
    browser.force_login(User.objects.create_superuser("ada", password="a long enough password"))
    return browser


def of(template: Template, where: str = "") -> str:
    return f"{LIST}{template.pk}/{where}"


def posted(bodies: Any = ORDER, **fields: str) -> dict[str, str]:
    texts = {f"{channel}.{part}": source for channel, body in bodies.items() for part, source in body.items()}
    return {**texts, "example": json.dumps(VARIABLES), "channel": "email", **fields}


def page(answer: Any) -> str:
    assert answer.status_code == 200, answer.content
    return unescape(re.sub(r"\s+", " ", answer.content.decode()))


def test_a_template_is_made_and_its_first_version_follows(browser: Browser) -> None:
    answer = browser.post(f"{LIST}add/", {"name": "order-shipped", "description": "To buyers."})
    made = Template.objects.get()
    assert answer["Location"] == of(made, "versions/new/")
    answer = browser.post(answer["Location"], posted(note="A beginning."))

    assert answer["Location"] == of(made, "change/")
    first = TemplateVersion.objects.get()
    assert (first.number, first.bodies, first.example) == (1, ORDER, VARIABLES)
    assert (first.note, first.created_by) == ("A beginning.", "ada")
    assert Template.objects.get().current == 1
    assert LogEntry.objects.filter(change_message="Made version 1.").exists()
    assert "order-shipped" in page(browser.get(LIST))
    assert "A beginning." in page(browser.get(of(made, "change/")))


@pytest.mark.parametrize("name", ["", "Order", "a b", "-a", "a@1", "ä", "a" * 101, "a\n"])
def test_a_name_is_what_a_request_can_say(browser: Browser, name: str) -> None:
    browser.post(f"{LIST}add/", {"name": name, "description": ""})

    assert list(Template.objects.values_list("name", flat=True)) in ([], ["a"])  # the form takes a line's end away


def test_a_name_stays_as_it_is(browser: Browser) -> None:
    made = template(name="kept").template
    browser.post(of(made, "change/"), {"name": "another", "description": "new", "is_active": "on"})

    made.refresh_from_db()
    assert (made.name, made.description) == ("kept", "new")


def test_the_next_version_begins_with_the_current_one_and_leaves_it_alone(browser: Browser) -> None:
    first = template()
    form = page(browser.get(of(first.template, "versions/new/")))
    assert ORDER["email"]["subject"] in form
    browser.post(of(first.template, "versions/new/"), posted({"sms": {"message": "two\r\nlines\r\n\r\n"}}))

    second = first.template.versions.get(number=2)
    assert second.bodies == {"sms": {"message": "two\nlines"}}
    first.refresh_from_db()
    first.template.refresh_from_db()
    assert (first.bodies, first.template.current) == (ORDER, 2)
    assert ORDER["email"]["subject"] in page(browser.get(of(first.template, "versions/new/?from=1")))
    assert ORDER["email"]["subject"] in page(browser.get(of(first.template, "versions/1/")))


def test_an_earlier_version_is_used_again(browser: Browser) -> None:
    first = template()
    version(first.template, {"sms": {"message": "two"}})
    assert "Use this one" in page(browser.get(of(first.template, "change/")))
    answer = browser.post(of(first.template, "versions/1/use/"))

    first.template.refresh_from_db()
    assert first.template.current == 1
    assert [str(each) for each in get_messages(answer.wsgi_request)] == ["Version 1 is used from now on."]
    assert LogEntry.objects.get().change_message == "Went to version 1."


@pytest.mark.parametrize(
    ("bodies", "words"),
    [
        ({"sms": {"message": "Hello\n{{ name|safe }}"}}, "This cannot be read: line 2: there is no filter safe here"),
        ({"email": {"subject": "x", "message": "{% if a %}"}}, "This cannot be read: line 1: if has no endif"),
        ({"email": {"subject": "x", "message": "x", "html": "{% load x %}"}}, "line 1: there is no tag load here"),
        ({"email": {"subject": "x"}}, "This is needed: every message has a text."),
        ({"email": {"message": "x"}}, "This is needed: this channel sends nothing without."),
        ({}, "bodies: are needed, for one channel at least."),
        ({"sms": {"message": "x"}, "email": {"subject": "a\nb", "message": "x"}}, "This must be one line."),
    ],
)  # fmt: skip
def test_what_is_no_template_is_not_kept_and_told_where(browser: Browser, bodies: Any, words: str) -> None:
    made = Template.objects.create(name="broken")
    answer = page(browser.post(of(made, "versions/new/"), posted(bodies)))

    assert words in answer
    assert not TemplateVersion.objects.exists()


@pytest.mark.parametrize("example", ["[]", "{", "5", '{"a": "' + "x" * 16_400 + '"}', '{"a": "\\u0000"}'])
def test_an_example_is_an_object_of_variables(browser: Browser, example: str) -> None:
    made = Template.objects.create(name="broken")
    answer = page(browser.post(of(made, "versions/new/"), posted(example=example)))

    assert "errorlist" in answer
    assert not TemplateVersion.objects.exists()


def test_a_preview_shows_what_would_be_sent_and_keeps_nothing(browser: Browser) -> None:
    made = Template.objects.create(name="tried")
    answer = browser.post(of(made, "versions/new/"), posted(_preview="Preview", channel="email"))

    shown = page(answer)
    assert "Order 42</pre>" in shown
    assert "your order 42 is on its way" in shown
    assert "<p>Dear Ann</p>" in shown
    assert 'sandbox=""' in shown
    assert not TemplateVersion.objects.exists()


def test_a_preview_of_a_version_begins_with_its_example(browser: Browser) -> None:
    made = version(template().template, ORDER, example=VARIABLES)
    where = of(made.template, "versions/2/")
    assert '"number": 42' in page(browser.get(where))
    shown = page(browser.post(where, {"example": json.dumps(VARIABLES), "channel": "slack"}))

    assert "Ann has bought <https://example.com|something>.</pre>" in shown


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "variables.order.number: is asked for by the template."),
        ({"order": {"number": "1" * 2000}}, "message: must be at most 1600 characters"),
        ({"order": {"number": []}}, "variables.order.number: is a list"),
    ],
)
def test_a_preview_tells_what_a_request_would_be_told(browser: Browser, variables: Any, words: str) -> None:
    made = template()
    fields = {"example": json.dumps(variables), "channel": "sms"}

    assert words in page(browser.post(of(made.template, "versions/1/"), fields))


def test_a_preview_tells_of_html_what_a_request_would_be_told(browser: Browser) -> None:
    made = template({"email": {"subject": "x", "message": "x", "html": "{{ name }}"}})
    fields = {"example": json.dumps({"name": " "}), "channel": "email"}

    assert "content.html: must not be empty" in page(browser.post(of(made.template, "versions/1/"), fields))


def test_the_form_asks_for_html_where_the_channel_takes_it(browser: Browser) -> None:
    form = page(browser.get(of(Template.objects.create(name="new"), "versions/new/")))

    assert re.findall(r'name="(\w+)\.html"', form) == ["email"]


def test_html_is_shown_in_a_frame_that_nothing_gets_out_of(browser: Browser) -> None:
    hostile = {"email": {"subject": "x", "message": "x", "html": "</iframe><script>alert(1)</script>{{ name }}"}}
    made = template(hostile)
    fields = {"example": json.dumps({"name": '"></iframe><script>alert(2)</script>'}), "channel": "email"}
    answer = browser.post(of(made.template, "versions/1/"), fields).content.decode()

    (frame,) = re.findall(r"<iframe [^>]*>", answer)
    assert "Content-Security-Policy" in frame
    assert "<script>alert" not in answer


def test_only_who_may_change_templates_changes_them() -> None:
    first = template()
    version(first.template, {"sms": {"message": "two"}})
    looking, nobody = Browser(), Browser()
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_template"))
    looking.force_login(user)
    nobody.force_login(User.objects.create_user("eve", is_staff=True))

    assert "Use this one" not in page(looking.get(of(first.template, "change/")))
    assert "New version" not in page(looking.get(of(first.template, "versions/1/")))
    tried = {"example": json.dumps(VARIABLES), "channel": "sms"}
    assert "Order 42" in page(looking.post(of(first.template, "versions/1/"), tried))
    for where in ("versions/new/", "versions/1/use/"):
        assert looking.post(of(first.template, where), posted()).status_code == 403
        assert looking.get(of(first.template, where)).status_code in {403, 405}
    for where in ("versions/new/", "versions/1/", "versions/1/use/"):
        assert nobody.post(of(first.template, where), posted()).status_code == 403
    assert Browser().get(of(first.template, "versions/1/")).status_code == 302
    strict = Browser(enforce_csrf_checks=True)
    strict.force_login(User.objects.create_superuser("ada", password="a long enough password"))
    for where in ("versions/new/", "versions/1/", "versions/1/use/"):
        assert strict.post(of(first.template, where), posted()).status_code == 403
    first.template.refresh_from_db()
    assert (first.template.current, TemplateVersion.objects.count()) == (2, 2)


@pytest.mark.parametrize("where", ["versions/9/", "versions/99999999999/", "versions/0/"])
def test_a_version_that_is_not_there_is_not_found(browser: Browser, where: str) -> None:
    assert browser.get(of(template().template, where)).status_code == 404
    assert browser.get(f"{LIST}99999999/versions/1/").status_code == 404
