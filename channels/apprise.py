"""Any of the hundred services that the library apprise knows: https://appriseit.com/services/

It says no more than whether all went well, so it promises less than the backends that know their provider: see
docs/channels.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from channels import deadline, text
from channels.apprise_service import PLACE, NotOne, service_for, service_of
from channels.contract import Backend, Message, Receipt, SettingProblem, Unacceptable
from channels.errors import Kind, Meaning, Table
from channels.rules import Recipient, Rules, Subject

if TYPE_CHECKING:
    from apprise import NotifyBase

_SOURCE = "https://appriseit.com/library/"
# The library answers yes or no, and a no has no reason.
ERRORS = Table(
    Meaning("False", Kind.UNKNOWN, "something went wrong, at whatever point", _SOURCE),
    Meaning("error", Kind.UNKNOWN, "the service's code raised an exception", _SOURCE),
    Meaning("timeout", Kind.UNKNOWN, "the service was not done in time", _SOURCE),
    Meaning("invalid_recipient", Kind.PERMANENT, "the service takes the recipient for none, or for several", _SOURCE),
    Meaning("invalid_url", Kind.CONFIGURATION, "a URL is not one service with one recipient", _SOURCE),
    Meaning("unknown_destination", Kind.CONFIGURATION, "no destination has that name any more", _SOURCE),
)

MESSAGE_LIMIT = 32_768  # characters: what the library takes a service to allow that says nothing else
SUBJECT_LIMIT = 250  # characters, likewise
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,49}")
UNKNOWN_DESTINATION = ("unknown_destination", "is not the name of an Apprise destination of this service")
NUMBER = r"\+[1-9][0-9]{6,14}"  # E.164
INVALID_RECIPIENT = ("invalid_recipient", "is no recipient of this channel")
# Recipients to try `url` with at start; two of each kind, because the sender may happen to be one.
SAMPLES = ("+15005550006", "+15005550010", "ada@example.com", "grace@example.com", "alerts", "news")


class Apprise(Backend):
    """One service, for each destination or for each recipient.

    Options: `urls`, of names to Apprise URLs, and `to` is a name; or `url`, one with `{to}` where the recipient goes,
    and `pattern`, which a recipient matches as a whole (a phone number in E.164 where there is none). `variable`: where
    they were set. No URL, and no part of one but the recipient, ever comes from a request.
    """

    name = "apprise"
    send_timeout = timedelta(seconds=20)  # some services want several requests for one message
    errors: ClassVar = ERRORS

    def __init__(
        self, *, urls: Mapping[str, str] | None = None, url: str = "", pattern: str = "", variable: str = ""
    ) -> None:
        self._urls = dict(urls or {})
        self._url = url
        self._pattern = pattern or NUMBER
        self._variable = variable or ("url" if url else "APPRISE_URLS")

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Apprise:
        return cls(**{name: options[name] for name in ("urls", "url", "pattern", "variable") if name in options})

    @property
    def configured(self) -> bool:
        return bool(self._urls or self._url)

    def problems(self) -> Sequence[SettingProblem]:
        found = []
        for name, url in self._urls.items():
            if not NAME.fullmatch(name):
                detail = f"the name {name!r} must be at most 50 letters, digits, dots, dashes or underscores"
                found.append(SettingProblem(self._variable, detail))
            try:
                service_of(url)
            except NotOne as wrong:
                found.append(SettingProblem(self._variable, f"the URL of {name!r} {wrong}"))
        if self._url and (detail := self._wrong_url()):
            found.append(SettingProblem(self._variable, detail))
        return found

    def validate(self, *, to: str, subject: str, body: str) -> str:
        """`to` is the name of a destination, as Slack's is of a webhook; or the recipient, as it is given."""
        text.require_line("subject", subject, limit=SUBJECT_LIMIT)
        text.require_body(body, limit=MESSAGE_LIMIT)
        if self._url:
            if not re.fullmatch(self._pattern, to):
                raise Unacceptable("to", *INVALID_RECIPIENT)
            return to
        name = to or "default"
        if name == "default" and len(self._urls) == 1:
            return next(iter(self._urls))
        if name not in self._urls:
            raise Unacceptable("to", *UNKNOWN_DESTINATION)
        return name

    def rules(self) -> Rules:
        return Rules(
            subject=Subject.OPTIONAL,
            subject_limit=SUBJECT_LIMIT,
            message_limit=MESSAGE_LIMIT,
            recipient=Recipient.PATTERN if self._url else Recipient.NAME,
            names=() if self._url else tuple(self._urls),
            pattern=self._pattern if self._url else "",
            refusal=INVALID_RECIPIENT if self._url else UNKNOWN_DESTINATION,
            lane_for_each=not self._url,
        )

    def destination(self, to: str) -> str:
        return "" if self._url else to

    @contextmanager
    def session(self) -> Iterator[_Session]:
        yield _Session(self)

    def service(self, to: str) -> NotifyBase:
        """What sends to a validated recipient. Raises: ConfigurationError, PermanentError."""
        try:
            if self._url:
                return service_for(self._url, to)
            if to in self._urls:
                return service_of(self._urls[to])
        except NotOne as wrong:
            # A URL for recipients was tried at start: it is this one whom the service does not take.
            row = ERRORS["invalid_recipient" if self._url else "invalid_url"]
            failure = row.error(row.says if self._url else f"the URL of {to!r} {wrong}")
        else:
            failure = ERRORS["unknown_destination"].error(f"no destination is named {to!r} any more")
        raise failure

    def _wrong_url(self) -> str:
        if self._urls:
            return "is given beside urls: keep one of them"
        if PLACE not in self._url:
            return f"has no {PLACE} where the recipient goes"
        try:
            samples = [each for each in SAMPLES if re.fullmatch(self._pattern, each)] or SAMPLES[-1:]
            for sample in samples:
                service_for(self._url, sample)
        except re.error:
            return "has a pattern beside it that is no regular expression"
        except NotOne as wrong:
            return str(wrong)
        return ""


class _Session:
    def __init__(self, backend: Apprise) -> None:
        self._backend = backend

    def send(self, message: Message) -> Receipt:
        service = self._backend.service(message.to)
        taken, failure = False, None
        with deadline.within(self._backend.send_timeout):
            try:
                taken = deadline.in_time(lambda: _notify(service, message), name="apprise")
            except TimeoutError:
                failure = ERRORS["timeout"].error("no answer in time, and it may be out")
            except Exception as error:  # noqa: BLE001 - any service's code; its words may hold the URL
                failure = ERRORS["error"].error(f"the service raised {type(error).__name__}")
        if failure is not None:
            raise failure
        if not taken:
            raise ERRORS["False"].error("the service was not reached, or did not take the message")
        return Receipt(detail=str(service.service_name))


def _notify(service: NotifyBase, message: Message) -> bool:
    return bool(service.notify(body=message.body, title=message.subject, body_format="text"))
