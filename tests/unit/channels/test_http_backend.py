"""What a vendor that takes a message by one HTTP request declares, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest
import requests

from channels.contract import Message, Receipt, SettingProblem, Unacceptable
from channels.errors import Table
from channels.http_backend import HttpBackend, Option
from channels.http_errors import HTTP
from channels.http_once import Answer, wrong_address
from channels.rules import Recipient, Rules, Subject

NO_NAME = ("unknown_name", "is not a name that is known here")


class Vendor(HttpBackend):
    name = "vendor"
    send_timeout = timedelta(seconds=1)
    errors = Table(beneath=HTTP)
    takes: ClassVar[Rules] = Rules(
        subject=Subject.REQUIRED,
        subject_limit=10,
        message_limit=20,
        recipient=Recipient.EMAIL,
        refusal=NO_NAME,
    )
    key = Option("VENDOR_KEY")
    base_url = Option("VENDOR_BASE_URL", default="https://api.vendor.example", wrong=wrong_address)

    def request(self, message: Message) -> requests.Request:
        return requests.Request("POST", self.base_url, data=message.body.encode())

    def accepted(self, answer: Answer) -> Receipt | None:
        return Receipt() if answer.status == 200 else None


class Named(Vendor):
    takes = replace(Vendor.takes, subject=Subject.NONE, recipient=Recipient.NAME, names=("ops", "dev"))


def refused(backend: HttpBackend, **changes: str) -> tuple[str, str]:
    given = {"to": "ada@example.com", "subject": "Hello", "body": "how are you?", **changes}
    with pytest.raises(Unacceptable) as refusal:
        backend.validate(**given)
    return refusal.value.field, refusal.value.code


def test_an_option_has_its_default_where_nothing_is_given() -> None:
    assert Vendor.from_options({"key": "k"}).base_url == "https://api.vendor.example"
    assert Vendor.from_options({"key": "k", "base_url": "https://eu.vendor.example"}).base_url.startswith("https://eu")


def test_a_channel_without_any_variable_is_not_configured_and_has_no_problem() -> None:
    backend = Vendor.from_options({"key": "", "base_url": ""})

    assert not backend.configured
    assert list(backend.problems()) == []


def test_a_variable_that_is_missing_beside_others_is_told() -> None:
    backend = Vendor.from_options({"base_url": "https://eu.vendor.example"})

    assert not backend.configured
    assert list(backend.problems()) == [SettingProblem("VENDOR_KEY", "is missing beside other variables of it")]


def test_a_wrong_value_is_told_without_showing_it() -> None:
    backend = Vendor.from_options({"key": "k", "base_url": "http://vendor.example/t0ken"})

    (problem,) = backend.problems()
    assert problem.variable == "VENDOR_BASE_URL"
    assert "t0ken" not in problem.detail


def test_an_address_comes_back_in_its_normal_form() -> None:
    assert Vendor().validate(to="ada@EXAMPLE.com", subject="Hello", body="hi") == "ada@example.com"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"to": "nobody"}, ("to", "invalid_email_address")),
        ({"subject": " "}, ("subject", "required")),
        ({"subject": "x" * 11}, ("subject", "too_long")),
        ({"subject": "a\nb"}, ("subject", "invalid_characters")),
        ({"body": ""}, ("message", "blank")),
        ({"body": "x" * 21}, ("message", "too_long")),
    ],
)
def test_what_the_rules_do_not_allow_is_refused_by_its_field(
    changes: dict[str, str], expected: tuple[str, str]
) -> None:
    assert refused(Vendor(), **changes) == expected


def test_a_name_is_one_of_those_that_are_known() -> None:
    assert Named().validate(to="ops", subject="", body="hi") == "ops"
    assert refused(Named(), to="qa", subject="") == ("to", "unknown_name")


def test_a_subject_is_refused_where_it_would_be_lost() -> None:
    assert refused(Named(), to="ops") == ("subject", "not_supported")


def test_the_database_is_told_the_same_rules() -> None:
    assert Vendor().rules() is Vendor.takes
