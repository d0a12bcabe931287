"""Chromium, spoken to over two pipes in its own protocol: https://chromedevtools.github.io/devtools-protocol/."""

from __future__ import annotations

import json
import os
import selectors
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

from tests.eventually import eventually

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe"),
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",  # no internet, whatever this machine has
)
PROGRAM = shutil.which("chromium")


class Page:
    def __init__(self, said: int, heard: int) -> None:
        self._said, self._heard = said, heard
        self._unread = b""
        self._number = 0
        self._session = ""
        self.problems: list[str] = []  # what failed to load, and what a script or a policy complained of
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self._ask(f"{domain}.enable")

    def open(self, url: str) -> None:
        self._ask("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of an expression."""
        answer = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, selector: str) -> None:
        eventually(lambda: self.run(f"!!document.querySelector({json.dumps(selector)})"), seconds=20, what=selector)

    def click(self, selector: str) -> None:
        self.wait(selector)
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def fill(self, selector: str, text: str) -> None:
        """As a person types it: scripts hear of it."""
        self.wait(selector)
        self.run(
            f"""(() => {{
                const field = document.querySelector({json.dumps(selector)});
                const {{ set }} = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(field), "value");
                set.call(field, {json.dumps(text)});
                field.dispatchEvent(new Event("input", {{ bubbles: true }}));
                field.dispatchEvent(new FocusEvent("focusout", {{ bubbles: true }}));
            }})()"""
        )

    def text(self, selector: str) -> str:
        self.wait(selector)
        return str(self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    def _ask(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        message = {"id": self._number, "method": method, "params": parameters, **session}
        os.write(self._said, json.dumps(message).encode() + b"\0")
        until = monotonic() + 30
        while True:
            heard = self._next(until)
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                return heard["result"]
            self._note(heard)

    def _next(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._unread:
            with selectors.DefaultSelector() as ready:
                ready.register(self._heard, selectors.EVENT_READ)
                assert ready.select(max(0.0, until - monotonic())), "Chromium is silent"
            piece = os.read(self._heard, 1 << 20)
            assert piece, "Chromium has gone"
            self._unread += piece
        message, _, self._unread = self._unread.partition(b"\0")
        heard: dict[str, Any] = json.loads(message)
        return heard

    def _note(self, heard: dict[str, Any]) -> None:
        told = heard.get("params", {})
        match heard.get("method"):
            case "Network.loadingFailed" if not told.get("canceled"):
                self.problems.append(f"{told['type']}: {told['errorText']}")
            case "Log.entryAdded" if told["entry"]["level"] == "error":
                self.problems.append(told["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.problems.append(told["exceptionDetails"]["text"])


@contextmanager
def chromium() -> Iterator[Page]:
    """A page of a fresh browser, which reaches this machine and nothing else."""
    assert PROGRAM is not None
    its_ears, said = os.pipe()
    heard, its_mouth = os.pipe()
    with tempfile.TemporaryDirectory(prefix="notifier-chromium-", ignore_cleanup_errors=True) as folder:
        script = f'exec "$@" 3<&{its_ears} 4>&{its_mouth}'
        running = subprocess.Popen(
            ["bash", "-c", script, "bash", PROGRAM, *FLAGS, f"--user-data-dir={folder}"],
            pass_fds=(its_ears, its_mouth), start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(its_ears)
        os.close(its_mouth)
        try:
            yield Page(said, heard)
        finally:
            for end in (said, heard):
                with suppress(OSError):
                    os.close(end)
            with suppress(ProcessLookupError):
                os.killpg(running.pid, 9)
            running.wait(10)
