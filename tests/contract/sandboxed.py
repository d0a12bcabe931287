"""The same providers, played by the sandbox: by its faults, and by addresses of its that mean an error.

What a stand-in is told to say byte by byte, the sandbox is told as a fault; what it cannot be told is skipped, with the
reason.
"""

from __future__ import annotations

import re
import ssl
from typing import Any, NoReturn, Self

import pytest

from channels.contract import ChannelError, Receipt
from channels.errors import Meaning
from channels.sandbox.faults import Fault, Kind, Stage
from channels.sandbox.server import Sandbox
from channels.sandbox.slack import ERRORS as SLACK_STATUSES
from channels.sandbox.twilio import FROM_ERRORS, TO_ERRORS
from channels.slack import SlackWebhook
from channels.smtp import SmtpEmail
from channels.twilio_sms import TwilioSms
from tests.contract.providers import ACCOUNT, TOKEN, Provider, Slack, Smtp, Twilio, outcome
from tests.contract.stand_in import Answer, Drip, Instead, StandIn

STAGES = {"MAIL": Stage.MAIL, "RCPT": Stage.RCPT, "DATA": Stage.DATA, ".": Stage.MESSAGE}


class SandboxStandIn(StandIn):
    """A sandbox of its own, as the suite sees a stand-in."""

    def __init__(self, channel: str, accepts: Answer) -> None:
        self.sandbox = Sandbox()
        self._channel = channel
        self._accepts = accepts

    def __enter__(self) -> Self:
        self.sandbox.__enter__()
        self.port = self.sandbox.smtp_port if self._channel == "email" else self.sandbox.http_port
        return self

    def __exit__(self, *_: object) -> None:
        self.sandbox.__exit__(None, None, None)

    @property
    def connections(self) -> NoReturn:
        pytest.skip("the sandbox counts no connections")

    ended = connections

    def hang_up(self) -> NoReturn:
        pytest.skip("the sandbox closes no idle connections")

    def play(self, answer: Answer, stage: Stage = Stage.MESSAGE) -> None:
        """Have the sandbox answer so once it has read a whole message, or at another stage of a mail."""
        self.sandbox.faults.set(self._channel, *self._faults(answer, stage))

    def taken(self) -> list[str]:
        return [f"{m.correlation_id} {m.to} {m.subject} {m.body}" for m in self.sandbox.mailbox.messages(self._channel)]

    def _faults(self, answer: Answer, stage: Stage) -> list[Fault]:
        if answer == self._accepts:
            return []
        if isinstance(answer, Drip) and answer.answer == self._accepts:
            # Ten times as fast: what the sandbox says itself is up to ten times as long.
            return [Fault(kind=Kind.DRIP, drip_ms=int(answer.pause * 100))]
        if answer is Instead.HANG_UP:
            return [Fault(kind=Kind.DROP_AFTER)]
        if answer is Instead.HANG:
            return [Fault(kind=Kind.HANG, taken=True)]
        return [Fault.parse({**_said(answer), "kind": "status", "stage": stage, "taken": stage is Stage.MESSAGE})]


def _said(answer: Answer) -> dict[str, Any]:
    """The fields of a fault that says what these bytes say."""
    assert isinstance(answer, bytes)
    text = answer.decode("latin-1")
    if http := re.fullmatch(r"HTTP/1.1 (\d+) [^\r]*\r\n(.*?)\r\n\r\n(.*)", text, re.DOTALL):
        return {"status": int(http[1]), "body": http[3]}
    if smtp := re.fullmatch(r"(\d{3}) (.*)\r\n", text):
        return {"status": int(smtp[1]), "body": smtp[2]}
    pytest.skip("the sandbox says nothing that is not the protocol's")


class Sandboxed(Provider):
    """Before a provider of the suite: what it sends to is a sandbox."""

    channel: str
    has_a_network = False

    @property
    def label(self) -> str:
        return f"{type(self).__bases__[-1].__name__.lower()}@sandbox"

    def stand_in(self, tls: ssl.SSLContext | None = None) -> SandboxStandIn:
        if tls is not None:
            pytest.skip("the sandbox speaks no TLS")
        return SandboxStandIn(self.channel, self.accepts)

    def answer(self, stand_in: StandIn, answer: Answer) -> None:
        assert isinstance(stand_in, SandboxStandIn)
        stand_in.play(answer)

    def taken(self, stand_in: StandIn) -> list[str]:
        assert isinstance(stand_in, SandboxStandIn)
        return stand_in.taken()


class SandboxedSlack(Sandboxed, Slack):
    """A word of Slack's is the end of the webhook's path."""

    channel = "slack"

    def arrange(self, stand_in: StandIn, row: Meaning) -> None:
        if row.code not in SLACK_STATUSES:
            super().arrange(stand_in, row)

    def send(self, stand_in: StandIn, row: Meaning) -> Receipt | ChannelError:
        if row.code not in SLACK_STATUSES:
            return super().send(stand_in, row)
        url = f"http://127.0.0.1:{stand_in.port}/services/T0/B0/{row.code}"
        return outcome(SlackWebhook({"default": url}), self.message)


class SandboxedTwilio(Sandboxed, Twilio):
    """The numbers of Twilio's own test credentials, the token `wrong`, and a text that is too long."""

    channel = "sms"
    recipients = {str(code): number for number, code in TO_ERRORS.items()}  # noqa: RUF012 - never written
    senders = {str(code): number for number, code in FROM_ERRORS.items()}  # noqa: RUF012 - never written

    def arrange(self, stand_in: StandIn, row: Meaning) -> None:
        if row.code not in {*self.recipients, *self.senders, "20003", "21617"}:
            super().arrange(stand_in, row)

    def send(self, stand_in: StandIn, row: Meaning) -> Receipt | ChannelError:
        backend = TwilioSms(
            account_sid=ACCOUNT,
            auth_token="wrong" if row.code == "20003" else TOKEN,
            from_number=self.senders.get(row.code, "+15005550006"),
            base_url=f"http://127.0.0.1:{stand_in.port}",
        )
        to = self.recipients.get(row.code, self.to)
        body = "x" * 1601 if row.code == "21617" else self.message.body
        return outcome(backend, self.message._replace(to=to, body=body))


class SandboxedSmtp(Sandboxed, Smtp):
    """A recipient that asks for its reply, and the password `wrong`."""

    channel = "email"

    def arrange(self, stand_in: StandIn, row: Meaning) -> None:
        if not self._asked_for(row):
            super().arrange(stand_in, row)

    def reply(self, stand_in: StandIn, stage: str, answer: Answer) -> None:
        assert isinstance(stand_in, SandboxStandIn)
        stand_in.play(answer, STAGES[stage])

    def send(self, stand_in: StandIn, row: Meaning) -> Receipt | ChannelError:
        asked = self._asked_for(row)
        if not asked:
            return super().send(stand_in, row)
        options = {"username": "shop", "password": "wrong" if row.code == "535" else "right"}
        backend = SmtpEmail(sender=self.to, host="127.0.0.1", port=stand_in.port, security="none", **options)
        return outcome(backend, self.message._replace(to=f"reply-{asked}@example.com"))

    def _asked_for(self, row: Meaning) -> str:
        """The code that this row's reply is of, where an address can ask for it."""
        code = {"4yz RCPT": "450", "4yz": "", "554": ""}.get(row.code, row.code)
        return code if re.fullmatch("[45][0-9]{2}", code) else ""


SANDBOXED: list[type[Provider]] = [SandboxedSlack, SandboxedTwilio, SandboxedSmtp]
