from __future__ import annotations

import ssl
from dataclasses import dataclass

import pytest
import trustme

from tests.contract.providers import PROVIDERS, Provider
from tests.contract.sandboxed import SANDBOXED


@pytest.fixture(params=[*PROVIDERS, *SANDBOXED], ids=lambda maker: maker().label)
def provider(request: pytest.FixtureRequest) -> Provider:
    made: Provider = request.param()
    if reason := made.weaker.get(request.node.originalname):
        pytest.skip(reason)
    return made


@dataclass
class Authority:
    """A private certificate authority, and a server that it vouches for as `localhost`."""

    pem: str  # a file
    server: ssl.SSLContext


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    ca = trustme.CA()
    pem = tmp_path_factory.mktemp("authority") / "ca.pem"
    ca.cert_pem.write_to_path(str(pem))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("localhost").configure_cert(server)
    return Authority(str(pem), server)
