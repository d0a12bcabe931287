"""Twilio's word on delivery: status callbacks to the addresses that messages came with, signed as Twilio signs them.

None are posted until they are asked for. They go to where this service takes them and nowhere else: whoever can post a
message to the sandbox must not have it call on others.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from twilio.request_validator import RequestValidator

from channels.contract import ChannelError
from channels.http_once import HttpOnce, is_loopback
from channels.sandbox.mailbox import Received

POST_TIMEOUT: Final = timedelta(seconds=5)  # the service commits a row before it answers
AT_ONCE: Final = 4  # posted side by side; the others wait
ON_THE_WAY: Final = ("queued", "sent")  # what Twilio says of every message first
ENDS: Final[Mapping[str, int]] = {"delivered": 0, "sent": 0, "undelivered": 30003, "failed": 30008}  # with what code
RECEIPTS: Final = re.compile(r"(?P<base>.+)/api/v1/receipts/[a-z_]+/[0-9a-f-]{36}/[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """What becomes of messages, and how it is told."""

    status: str = "delivered"  # the last: one of ENDS
    error_code: int = 0  # of a message that is not delivered; 0 for the usual one
    delay_ms: int = 0  # after the message was taken, and so perhaps before its sender is answered
    reversed: bool = False  # the last comes first
    doubled: bool = False  # each comes twice
    to: str = ""  # only for this recipient

    @property
    def code(self) -> int:
        return (self.error_code or ENDS[self.status]) if ENDS[self.status] else 0

    def statuses(self) -> list[str]:
        told = [*(status for status in ON_THE_WAY if status != self.status), self.status]
        told = told[::-1] if self.reversed else told
        return [status for status in told for _ in range(2 if self.doubled else 1)]

    @classmethod
    def parse(cls, given: object) -> Callback:
        """Raises: ValueError, naming the field."""
        if not isinstance(given, dict):
            raise ValueError("a callback is an object")  # noqa: TRY004 - one kind of error
        defaults = {field.name: field.default for field in fields(cls)}
        for name, value in given.items():
            if name not in defaults:
                raise ValueError(f"a callback has no field {name!r}")
            if type(value) is not type(defaults[name]):  # not isinstance: True is no number of milliseconds
                raise ValueError(f"{name} must be like {defaults[name]!r}")
        callback = cls(**given)
        if callback.status not in ENDS:
            raise ValueError(f"status must be one of {', '.join(ENDS)}")
        if callback.delay_ms < 0:
            raise ValueError("delay_ms cannot be negative")
        return callback


class Callbacks:
    """Set from any thread; messages are reported on from the sandbox's own loop."""

    def __init__(self, public_url: str = "") -> None:
        """`public_url`: where this service is, if it is anywhere but on this machine."""
        self._public_url = public_url.rstrip("/")
        self._chosen: Callback | None = None
        self._http = HttpOnce(limit=POST_TIMEOUT)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="callbacks")
        self._under_way: set[asyncio.Task[None]] = set()
        self._counted = threading.Lock()
        self._counts = {"posted": 0, "refused": 0}

    def set(self, chosen: Callback | None) -> None:
        """For messages that come from now on; None: for none."""
        self._chosen = chosen

    def shown(self) -> dict[str, Any]:
        """What is in force, and how many were `posted` and answered with a success, or `refused`, since the start."""
        with self._counted:
            return {"callback": asdict(self._chosen) if self._chosen else None, **self._counts}

    def fate(self, to: str) -> Callback | None:
        """What becomes of a message to this recipient."""
        chosen = self._chosen
        return chosen if chosen and chosen.to in {"", to} else None

    def report(self, message: Received, callback: Callback, *, account: str, token: str) -> None:
        """Begin to tell what becomes of it, where it came with an address that may be told."""
        url = message.extra["status_callback"]
        if self.may_post_to(url):
            task = asyncio.get_running_loop().create_task(self._tell(url, message, callback, account, token))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    def may_post_to(self, url: str) -> bool:
        """Whether it is where this service takes receipts: on this machine, or at its public address."""
        found = RECEIPTS.fullmatch(url)
        if found is None:
            return False
        base = found["base"]
        if base == self._public_url:
            return True
        try:
            parts = urlsplit(base)
            host, _ = parts.hostname, parts.port
        except ValueError:
            return False
        return parts.scheme == "http" and base == f"http://{parts.netloc}" and is_loopback(host or "")

    async def close(self) -> None:
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    async def _tell(self, url: str, message: Received, callback: Callback, account: str, token: str) -> None:
        await asyncio.sleep(callback.delay_ms / 1000)
        for status in callback.statuses():
            told = _fields(message, callback, status, account)
            await asyncio.get_running_loop().run_in_executor(self._threads, self._post, url, told, token)

    def _post(self, url: str, told: Mapping[str, str], token: str) -> None:
        signature = RequestValidator(token).compute_signature(url, told)
        request = requests.Request("POST", url, data=told, headers={"X-Twilio-Signature": signature})
        try:
            taken = self._http.send(request).status < 300
        except ChannelError:
            taken = False  # Twilio does not post it again, either
        with self._counted:
            self._counts["posted" if taken else "refused"] += 1


def _fields(message: Received, callback: Callback, status: str, account: str) -> dict[str, str]:
    """https://www.twilio.com/docs/messaging/guides/track-outbound-message-status"""
    told = {
        "AccountSid": account,
        "ApiVersion": "2010-04-01",
        "From": message.extra["from"],
        "MessageSid": message.provider_id,
        "MessageStatus": status,
        "SmsSid": message.provider_id,
        "SmsStatus": status,
        "To": message.to,
    }
    if status == callback.status and callback.code:
        told["ErrorCode"] = str(callback.code)
    return told
