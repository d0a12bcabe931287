"""The sandbox itself: an HTTP port for Slack, Twilio and the page, and an SMTP port.

In a test, from any thread:

    with Sandbox() as sandbox:                                  # free ports, on loopback
        os.environ.update(sandbox.environment())                # or sandbox.url, .http_port, .smtp_port
        sandbox.faults.set("sms", Fault(kind=Kind.DROP_AFTER, times=1))
        ...
        sandbox.mailbox.wait(3, seconds=10)                     # until three were taken
        [message.to for message in sandbox.mailbox.messages("sms")]
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from channels import sandbox
from channels.sandbox import smtp, web
from channels.sandbox.callbacks import Callbacks
from channels.sandbox.faults import Faults
from channels.sandbox.mailbox import Mailbox
from channels.sandbox.site import Site

BACKLOG = 1024  # connections that may wait to be taken: benchmarks open many at once


class Sandbox:
    """Serves until stopped: by `with`, in a thread of its own; or by `serve`, in a running loop."""

    def __init__(
        self,
        http_port: int = 0,
        smtp_port: int = 0,
        *,
        host: str = "127.0.0.1",
        journal: Path | None = None,
        public_url: str = "",
    ) -> None:
        """Port 0 means any free one. `public_url`: where this service takes status callbacks, besides this machine.

        Raises: OSError where the journal cannot be written.
        """
        self.host = host
        self.http_port = http_port  # the real one, once it listens
        self.smtp_port = smtp_port
        self.mailbox = Mailbox(journal)
        self.faults = Faults()
        self.callbacks = Callbacks(public_url)
        self._failure: OSError | None = None

    @property
    def url(self) -> str:
        return self.environment()["TWILIO_BASE_URL"]

    def environment(self) -> dict[str, str]:
        """The variables that point every channel here."""
        return sandbox.environment(self.http_port, self.smtp_port, self.host)

    async def serve(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Listen, call `ready` once both ports do, and serve until `stop` is set.

        Raises: OSError where a port cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        web_clients: set[web.Connection] = set()
        mail_clients: set[smtp.Connection] = set()
        site = Site(self.mailbox, self.faults, self.callbacks)
        servers: list[asyncio.Server] = []

        async def listen(client: Callable[[], asyncio.BaseProtocol], port: int) -> int:
            servers.append(await loop.create_server(client, self.host, port, backlog=BACKLOG))
            real_port: int = servers[-1].sockets[0].getsockname()[1]
            return real_port

        try:
            self.http_port = await listen(lambda: web.Connection(site.answer, web_clients), self.http_port)
            self.smtp_port = await listen(
                lambda: smtp.Connection(self.mailbox, self.faults, mail_clients), self.smtp_port
            )
            ready()
            await stop.wait()
        finally:
            await _close(servers)
            for web_client in list(web_clients):
                web_client.abort()
            for mail_client in list(mail_clients):
                mail_client.abort()
            while web_clients or mail_clients:  # each leaves its set when the loop tells it that it is lost
                await asyncio.sleep(0)
            await self.callbacks.close()
            self.mailbox.close()

    def __enter__(self) -> Self:
        listening = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="sandbox", daemon=True)
        self._thread.start()
        listening.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self, listening: threading.Event) -> None:
        async def run() -> None:
            self._loop = asyncio.get_running_loop()
            self._stop = asyncio.Event()
            await self.serve(self._stop, listening.set)

        try:
            asyncio.run(run())
        except OSError as error:
            self._failure = error
        finally:
            listening.set()


async def _close(servers: list[asyncio.Server]) -> None:
    """Close the listening sockets, and no connection that was taken just now without its protocol knowing."""
    loop = asyncio.get_running_loop()
    for server in servers:
        for listener in server.sockets:
            loop.remove_reader(listener.fileno())
    # A connection that was taken has its protocol two turns of the loop later, and leaks where its server is
    # closed by then.
    for _ in range(3):
        await asyncio.sleep(0)
    for server in servers:
        server.close()
