"""What the sandbox's HTTP port answers: the two providers, the page, and a JSON interface for tests."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from channels.sandbox import slack, twilio
from channels.sandbox.callbacks import Callback, Callbacks
from channels.sandbox.faults import CHANNELS, Fault, Faults, Kind
from channels.sandbox.mailbox import Mailbox
from channels.sandbox.web import Answer, Request

SHOWN = 100  # messages, where the reader does not say
SHOWN_AT_MOST = 1000


class Site:
    def __init__(self, mailbox: Mailbox, faults: Faults, callbacks: Callbacks) -> None:
        self._mailbox = mailbox
        self._faults = faults
        self._callbacks = callbacks
        self._page = _page()

    def answer(self, request: Request) -> Answer:
        path = request.path
        if path.startswith("/services/"):
            return self._play("slack", slack.recipient(request), lambda: slack.answer(request, self._mailbox))
        if path.startswith("/2010-04-01/"):
            if not twilio.creates(request):
                return self._answer_as_twilio(request)
            return self._play("sms", twilio.recipient(request), lambda: self._answer_as_twilio(request))
        if path == "/api/messages":
            return self._messages(request)
        if path == "/api/faults":
            return self._answer_faults(request)
        if path == "/api/callbacks":
            return self._answer_callbacks(request)
        if path == "/healthz":
            return Answer(200, b"ok")
        if path == "/":
            return self._page
        return Answer.of_json(404, {"error": "the sandbox has no such address"})

    def _answer_as_twilio(self, request: Request) -> Answer:
        return twilio.answer(request, self._mailbox, self._callbacks)

    def _play(self, channel: str, to: str, provider: Callable[[], Answer]) -> Answer:
        fault = self._faults.pick(channel, to)
        if fault is None:
            return provider()
        answer = provider() if fault.takes else Answer(500)  # which is never written
        if fault.kind is Kind.STATUS:
            answer = _refusal(channel, fault)
        return replace(answer, fault=fault)

    def _messages(self, request: Request) -> Answer:
        if request.method == "DELETE":
            self._mailbox.clear()
            return Answer(204)
        if request.method != "GET":
            return _not_allowed("GET, DELETE")
        channel, limit = request.query.get("channel", ""), request.query.get("limit", str(SHOWN))
        if channel not in {"", *CHANNELS}:
            return Answer.of_json(400, {"error": f"channel must be one of {', '.join(CHANNELS)}"})
        if not re.fullmatch(r"[0-9]{1,4}", limit) or int(limit) > SHOWN_AT_MOST:
            return Answer.of_json(400, {"error": f"limit must be a whole number, at most {SHOWN_AT_MOST}"})
        found = self._mailbox.messages(channel, request.query.get("text", ""))
        results = [asdict(message) for message in found[: int(limit)]]
        return Answer.of_json(200, {"count": len(found), "taken": self._mailbox.taken, "results": results})

    def _answer_faults(self, request: Request) -> Answer:
        if request.method == "PUT":
            try:
                self._faults.replace(_parse_faults(request.body))
            except ValueError as error:
                return Answer.of_json(400, {"error": str(error)})
        elif request.method == "DELETE":
            self._faults.clear()
        elif request.method != "GET":
            return _not_allowed("GET, PUT, DELETE")
        return Answer.of_json(200, self._faults.shown())

    def _answer_callbacks(self, request: Request) -> Answer:
        if request.method == "PUT":
            try:
                self._callbacks.set(Callback.parse(json.loads(request.body)))
            except ValueError as error:
                return Answer.of_json(400, {"error": str(error)})
        elif request.method == "DELETE":
            self._callbacks.set(None)
        elif request.method != "GET":
            return _not_allowed("GET, PUT, DELETE")
        return Answer.of_json(200, self._callbacks.shown())


def _parse_faults(body: bytes) -> dict[str, list[Fault]]:
    given = json.loads(body)
    if not isinstance(given, dict):
        raise ValueError("faults are an object: a fault, or a list of them, for each channel")  # noqa: TRY004
    lists = {channel: fault if isinstance(fault, list) else [fault] for channel, fault in given.items()}
    return {channel: [Fault.parse(fault) for fault in faults] for channel, faults in lists.items()}


def _refusal(channel: str, fault: Fault) -> Answer:
    if channel == "sms" and not fault.body:
        answer = twilio.refuse(fault.status, {429: 20429, 401: 20003}.get(fault.status, 20500))
    else:
        answer = Answer(fault.status, fault.body.encode())
    return replace(answer, headers={"Retry-After": fault.retry_after} if fault.retry_after else {})


def _not_allowed(methods: str) -> Answer:
    answer = Answer.of_json(405, {"error": f"the methods here are {methods}"})
    return replace(answer, headers={"Allow": methods})


def _page() -> Answer:
    page = (Path(__file__).parent / "page.html").read_bytes()
    hashes = {
        tag: base64.b64encode(hashlib.sha256(inside).digest()).decode()
        for tag in ("script", "style")
        for inside in re.findall(f"<{tag}>(.*?)</{tag}>".encode(), page, re.DOTALL)
    }
    # Only what is in the page itself may run, whatever a message holds.
    policy = (
        f"default-src 'none'; script-src 'sha256-{hashes['script']}'; style-src 'sha256-{hashes['style']}'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return Answer(200, page, "text/html; charset=utf-8", headers)
