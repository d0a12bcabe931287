"""A provider that takes one key for each notification, as some of email's do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import requests

from channels.contract import Backend, Message, Receipt, SettingProblem
from channels.http_errors import HTTP
from channels.http_once import HttpOnce


class Keyed(Backend):
    """Option: `url`."""

    name = "keyed"
    send_timeout = timedelta(seconds=3)
    deduplicates_for = timedelta(hours=24)

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = HttpOnce(limit=self.send_timeout)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Keyed:
        return cls(options["url"])

    @property
    def configured(self) -> bool:
        return True

    def problems(self) -> Sequence[SettingProblem]:
        return []

    def validate(self, *, to: str, subject: str, body: str) -> str:
        return to

    @contextmanager
    def session(self) -> Iterator[Keyed]:
        yield self

    def send(self, message: Message) -> Receipt:
        headers = {"Idempotency-Key": str(message.notification_id)}
        answer = self._http.send(requests.Request("POST", self._url, data=message.body, headers=headers))
        if answer.status == 200:
            return Receipt(code="200")
        raise answer.error(HTTP, detail="no")

    def close(self) -> None:
        self._http.close()
