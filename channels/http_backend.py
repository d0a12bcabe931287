"""A vendor that takes a message by one HTTP request: what is left to say is the request, the yes, and the table.

docs/adding_a_channel.md has one in full.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Self, assert_never, overload

import requests

from channels import text
from channels.contract import Backend, Message, Receipt, Session, SettingProblem, Unacceptable
from channels.errors import Table
from channels.http_once import Answer, HttpOnce
from channels.rules import Recipient, Rules, Subject


class Option:
    """An option of the channel's entry, by the attribute's name, and the environment variable that it comes from.

    `default` is what it is where nothing is given. `wrong` says what is wrong with a value, to end a sentence that does
    not show it; "" for nothing.
    """

    def __init__(
        self, variable: str, *, required: bool = True, default: str = "", wrong: Callable[[str], str] | None = None
    ) -> None:
        self.variable = variable
        self.is_missed = required and not default  # where nothing is given
        self._default = default
        self._wrong = wrong

    def __set_name__(self, _: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, backend: None, _: type) -> Self: ...
    @overload
    def __get__(self, backend: HttpBackend, _: type) -> str: ...
    def __get__(self, backend: HttpBackend | None, _: type) -> Self | str:
        return self if backend is None else backend.given.get(self.name) or self._default

    def problem(self, value: str) -> SettingProblem | None:
        if not value:
            return SettingProblem(self.variable, "is missing beside other variables of it") if self.is_missed else None
        wrong = self._wrong(value) if self._wrong else ""
        return SettingProblem(self.variable, wrong) if wrong else None


class HttpBackend(Backend):
    """Its options are attributes, `token = Option("VENDOR_TOKEN")`, whose values the instance has as texts."""

    errors: ClassVar[Table]  # stands on HTTP
    takes: ClassVar[Rules]  # what `validate` asks, and the database of what comes from SQL

    def __init__(self, **options: object) -> None:
        self.given: Mapping[str, str] = {name: str(value) for name, value in options.items()}
        self._http = HttpOnce(limit=self.send_timeout)

    @abstractmethod
    def request(self, message: Message) -> requests.Request:
        """The request that sends it; the same at every attempt."""

    @abstractmethod
    def accepted(self, answer: Answer) -> Receipt | None:
        """The vendor's word that it has taken the message; None for any answer that is not the yes it documents.

        Raises: a row's error, where a vendor says no by a status that is a yes.
        """

    def read_error(self, answer: Answer) -> tuple[str, str]:
        """The vendor's own code and words in any other answer; "" for either that is not there."""
        return "", ""

    @classmethod
    def options(cls) -> Sequence[Option]:
        return [each for kind in cls.__mro__ for each in vars(kind).values() if isinstance(each, Option)]

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Self:
        return cls(**{option.name: options.get(option.name, "") for option in cls.options()})

    @property
    def configured(self) -> bool:
        return all(self.given.get(option.name) for option in self.options() if option.is_missed)

    def problems(self) -> Sequence[SettingProblem]:
        if not any(self.given.values()):
            return []
        found = (option.problem(self.given.get(option.name, "")) for option in self.options())
        return [problem for problem in found if problem]

    def validate(self, *, to: str, subject: str, body: str) -> str:
        _require_subject(self.takes, subject, self.name)
        text.require_body(body, limit=self.takes.message_limit)
        size = len(body.encode())
        if 0 < self.takes.message_bytes < size:
            detail = f"must be at most {self.takes.message_bytes} bytes of UTF-8, not {size}"
            raise Unacceptable("message", "too_long", detail)
        return _require_recipient(self.takes, to)

    def rules(self) -> Rules | None:
        return self.takes

    @contextmanager
    def session(self) -> Iterator[Session]:
        yield self

    def close(self) -> None:
        self._http.close()

    def send(self, message: Message) -> Receipt:
        """As `Session.send`."""
        request = self.request(message)
        request.headers = {**message.tracking_headers(), **request.headers}
        answer = self._http.send(request)
        receipt = self.accepted(answer)
        if receipt is not None:
            return receipt
        code, words = self.read_error(answer)
        hidden = (message.to, message.subject, message.body, *self.given.values())
        raise answer.error(self.errors, code, detail=text.one_line(words, hide=hidden), code=code)


def _require_subject(rules: Rules, subject: str, name: str) -> None:
    if rules.subject is Subject.NONE:
        text.refuse_subject(subject, name)
    elif rules.subject is Subject.REQUIRED and not subject.strip():
        raise Unacceptable("subject", "required", "must not be empty")
    else:
        text.require_line("subject", subject, limit=rules.subject_limit)


def _require_recipient(rules: Rules, to: str) -> str:
    match rules.recipient:
        case Recipient.EMAIL:
            return text.normal_address("to", to)
        case Recipient.NAME:
            taken = to in rules.names
        case Recipient.PATTERN:
            taken = re.fullmatch(rules.pattern, to) is not None
        case unreachable:
            assert_never(unreachable)
    if not taken:
        raise Unacceptable("to", *rules.refusal)
    return to
