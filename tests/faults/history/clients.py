"""Clients that share keys, never give up before they are told, and note every call."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException

from .calls import Call, History, now
from .verdict import ACCEPTED, REUSED

PATH = "/api/v1/sms"
PATIENCE = 60.0  # seconds that one key may take until it is answered
CALL_TIMEOUT = 5.0  # seconds; then the client hangs up, and cannot know
PAUSE = 0.02  # seconds before the next try, at the least


class Clients:
    """So many threads, each posting under keys that others use, too; `with Clients(…):`, which waits for them."""

    def __init__(
        self, ports: Sequence[int], api_key: str, history: History, *, seed: int, clients: int, keys: int
    ) -> None:
        self._ports, self._api_key, self._history = ports, api_key, history
        self._seed, self._keys = seed, keys
        self.unanswered: list[str] = []
        self._failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"client {number}") for number in range(clients)
        ]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()
        if self._failures:
            raise self._failures[0]

    def wait(self) -> None:
        """Until all are through."""
        for thread in self._threads:
            thread.join()

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def _run(self, number: int) -> None:
        chance = random.Random(f"{self._seed} {number}")
        try:
            # Each key once, in an order that is nearly everybody's: several clients are at one key at a time.
            for key in range(self._keys):
                # Some ask for something else under a key: one of the two is refused, and always the same.
                self._ask(chance, number, f"key {self._seed}:{key}", chance.choice(["a", "a", "a", "b"]))
                if chance.random() < 0.3:
                    self._ask(chance, number, f"key {self._seed}:{chance.randint(0, key)}", "a")
        except BaseException as error:
            self._failures.append(error)
            raise

    def _ask(self, chance: random.Random, client: int, key: str, text: str) -> None:
        """Until the answer is one that no retry would change."""
        until = now() + PATIENCE
        while now() < until:
            call = self._call(chance.choice(self._ports), client, key, text)
            self._history.add(call)
            if call.status in {ACCEPTED, REUSED}:
                return
            threading.Event().wait(PAUSE * (1 + 4 * chance.random()))
        self.unanswered.append(key)

    def _call(self, port: int, client: int, key: str, text: str) -> Call:
        headers = {
            "Authorization": f"Bearer {self._api_key}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        body = json.dumps({"message": f"{key} {text}", "send_to_number": "+14155552671"})
        began = now()
        connection = HTTPConnection("127.0.0.1", port, timeout=CALL_TIMEOUT)
        try:
            connection.request("POST", PATH, body, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, HTTPException):
            return Call(client, key, f"{key} {text}", began, now(), None)
        finally:
            connection.close()
        told = response.headers
        replayed = told["Idempotent-Replayed"] == "true"
        return Call(
            client, key, f"{key} {text}", began, now(), response.status, replayed, answer, told["Location"] or ""
        )
