"""A provider that takes a while: an HTTP server whose every answer comes so many milliseconds after its request. It is
Slack, or Twilio by the path.

    python -m tests.bench.provider PORT MILLISECONDS [ADDRESS]

Each request's moment (nanoseconds of the machine's monotonic clock) and the number in its text are written to standard
output, for whoever measures when it came.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic_ns
from typing import Final

from tests.bench.servers import await_port
from tests.ports import free_port

ANSWER: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
_SMS: Final = b'{"sid": "SM00000000000000000000000000000000", "status": "queued"}'
SMS_ANSWER: Final = b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n%b" % (
    len(_SMS),
    _SMS,
)
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_NUMBER: Final = re.compile(rb"number (\d+)")


@contextmanager
def provider(milliseconds: int, address: str = "127.0.0.1") -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Its URL, and itself."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.provider", str(port), str(milliseconds), address]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            await_port(port, server, address=address)
            yield f"http://{address}:{port}", server
        finally:
            server.terminate()


class _Connection(asyncio.Protocol):
    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or not length or len(body) < int(length[1]):
            return
        number = _NUMBER.search(body)
        if number:
            sys.stdout.write(f"{int(number[1])} {monotonic_ns()}\n")
            sys.stdout.flush()
        self._read = b""
        answer = SMS_ANSWER if b"/Messages.json" in head else ANSWER
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, self._transport.write, answer)
        else:
            self._transport.write(answer)


async def main(port: int, milliseconds: int, address: str = "127.0.0.1") -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(milliseconds / 1000), address, port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:]))
