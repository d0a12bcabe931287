"""An SMTP server on loopback with TLS from the first byte and a login, which keeps nothing.

    python -m tests.bench.smtp_server PORT FOLDER

Its certificate's authority is written to FOLDER/ca.pem.
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult

USER, PASSWORD = "bench", "a-password-of-the-bench"


class _Nowhere:
    async def handle_EHLO(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, session: Any, _envelope: Any, name: str, replies: list[str]
    ) -> list[str]:
        session.host_name = name
        # As the usual relays do. aiosmtpd takes commands that come together as well, and only does not say so.
        return [*replies[:-1], "250-PIPELINING", replies[-1]]

    async def handle_DATA(self, *_: Any) -> str:  # noqa: N802 - aiosmtpd's name
        return "250 OK"


def _authenticate(*_: Any) -> AuthResult:
    return AuthResult(success=True)


async def main(port: int, folder: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(_Nowhere(), authenticator=_authenticate, auth_require_tls=False, auth_required=True),
        "127.0.0.1",
        port,
        ssl=context,
    )
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
