"""Clients that do what a careful one does: a key for each request, and the same key again until there is an answer.

Every call and its answer goes into a log, which is the witness of what was promised to them.
"""

from __future__ import annotations

import json
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Final
from uuid import UUID

import requests

from tests.faults.checks import Acknowledged

CALL_TIMEOUT: Final = 10.0  # seconds for one answer
PATIENCE: Final = 60.0  # seconds of trying again, until a client gives up
PAUSE: Final = 0.05  # seconds between tries, where the answer names none
TRIED_AGAIN: Final = frozenset({409, 429, 500, 502, 503, 504})

# What each channel is asked for: `to`, and what else its request needs.
REQUESTS: Final = {
    "slack": {"to": "default"},
    "email": {"to": "ann@example.com", "subject": "A subject"},
    "sms": {"to": "+14155552671"},
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call and what came of it."""

    at: float  # seconds since the log began
    seconds: float
    key: str
    number: int  # 1 for the first try
    url: str
    channel: str
    text: str
    status: int | None  # None: no answer
    error: str  # why there was none
    replayed: bool
    answer: str  # the body of a 202


class CallLog:
    """Thread-safe; also written to a file, a JSON line for each call."""

    def __init__(self, path: Path) -> None:
        self._began = monotonic()
        self._lock = threading.Lock()
        self._file = path.open("a", encoding="utf-8")
        self._calls: list[Call] = []
        self._unanswered: set[str] = set()

    def now(self) -> float:
        return monotonic() - self._began

    def add(self, call: Call) -> None:
        with self._lock:
            self._calls.append(call)
            self._file.write(json.dumps(asdict(call)) + "\n")
            self._file.flush()

    def give_up(self, key: str) -> None:
        with self._lock:
            self._unanswered.add(key)

    @property
    def calls(self) -> list[Call]:
        with self._lock:
            return list(self._calls)

    @property
    def given_up(self) -> set[str]:
        """The keys whose clients saw an error in the end."""
        with self._lock:
            return set(self._unanswered)

    def acknowledged(self) -> list[Acknowledged]:
        """Every id that anybody was answered with 202."""
        return [
            Acknowledged(UUID(json.loads(call.answer)["id"]), call.channel, call.text, call.key)
            for call in self.calls
            if call.status == 202
        ]

    def differing_answers(self) -> set[str]:
        """Keys that were answered with 202 in more than one way: a replay is equal to the last byte."""
        answers: dict[str, set[str]] = defaultdict(set)
        for call in self.calls:
            if call.status == 202:
                answers[call.key].add(call.answer)
        return {key for key, found in answers.items() if len(found) > 1}

    def close(self) -> None:
        self._file.close()


class RetryingClient:
    """Used by one thread. Knows several addresses of the service, and tries another one when one fails."""

    def __init__(self, urls: Sequence[str], api_key: str, log: CallLog, *, first: int = 0) -> None:
        self._urls = urls
        self._api_key = api_key
        self._log = log
        self._next_url = first
        self._session = requests.Session()
        self._session.trust_env = False

    def post(
        self,
        channel: str,
        text: str,
        *,
        key: str,
        patience: float = PATIENCE,
        fields: Mapping[str, object] | None = None,
    ) -> Call | None:
        """The call that was answered with 202, or with what trying again does not mend; None when patience ended.

        `fields`: more of the request's body, such as `send_at`.
        """
        until = self._log.now() + patience
        number = 0
        while True:
            number += 1
            call, pause = self._call(channel, text, key, number, fields or {})
            self._log.add(call)
            if call.status is not None and call.status not in TRIED_AGAIN:
                if call.status != 202:
                    self._log.give_up(key)
                return call
            self._next_url += 1
            if self._log.now() + pause > until:
                self._log.give_up(key)
                return None
            threading.Event().wait(pause)

    def close(self) -> None:
        self._session.close()

    def _call(self, channel: str, text: str, key: str, number: int, fields: Mapping[str, object]) -> tuple[Call, float]:
        url = self._urls[self._next_url % len(self._urls)]
        began = self._log.now()
        status, error, answer, replayed, pause = None, "", "", False, PAUSE
        try:
            response = self._session.post(
                f"{url}/api/v1/notifications",
                json={"channel": channel, "message": text, **REQUESTS[channel], **fields},
                headers={"Authorization": f"Bearer {self._api_key}", "Idempotency-Key": key},
                timeout=CALL_TIMEOUT,
            )
        except requests.RequestException as problem:
            error = type(problem).__name__
        else:
            status = response.status_code
            answer = response.text if status == 202 else ""
            error = "" if status == 202 else response.text[:500]
            replayed = response.headers.get("Idempotent-Replayed") == "true"
            with suppress(ValueError):
                pause = float(response.headers.get("Retry-After", PAUSE))
        took = self._log.now() - began
        return Call(began, took, key, number, url, channel, text, status, error, replayed, answer), pause


class Load:
    """Several clients that post until they are told to stop; `with Load(…):`.

    `rate`: requests a second of all together, 0 for as many as they can. `channels`: one is chosen for each request.
    `place`: where they are, because they begin there.
    """

    def __init__(
        self,
        urls: Sequence[str],
        api_key: str,
        log: CallLog,
        *,
        name: str = "load",
        clients: int = 4,
        rate: float = 0,
        channels: Sequence[str] = ("slack",),
        seed: int = 0,
        still_wanted: Callable[[], bool] = lambda: True,
        place: AbstractContextManager[object] | None = None,
    ) -> None:
        self._urls = urls
        self._api_key = api_key
        self._log = log
        self._name = name
        self._pause = clients / rate if rate else 0.0
        self._channels = channels
        self._seed = seed
        self._still_wanted = still_wanted
        self._place = place or nullcontext()
        self._stop = threading.Event()
        self._failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(nth,), name=f"{name} {nth}", daemon=True) for nth in range(clients)
        ]

    def __enter__(self) -> Load:
        with self._place:
            for thread in self._threads:
                thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let each client finish the request it is at, its tries included. Raises what one of them raised."""
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE + CALL_TIMEOUT)
            assert not thread.is_alive(), f"{thread.name} does not end"
        if self._failures:
            raise self._failures[0]

    def _run(self, nth: int) -> None:
        chance = random.Random(f"{self._seed} {nth}")
        client = RetryingClient(self._urls, self._api_key, self._log, first=nth)
        number = 0
        try:
            while not self._stop.is_set() and self._still_wanted():
                number += 1
                key = f"{self._name}:{nth}:{number}"
                client.post(chance.choice(self._channels), f"message {key}", key=key)
                self._stop.wait(self._pause * 2 * chance.random())
        except BaseException as error:
            self._failures.append(error)
            raise
        finally:
            client.close()
