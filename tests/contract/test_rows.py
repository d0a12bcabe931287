"""Every row of every backend's table, at the wire: what the provider says comes out as the row says."""

from __future__ import annotations

import re
import socket
from datetime import timedelta
from typing import Any

import pytest

from channels.contract import ChannelError, PermanentError, RateLimited, Receipt, TransientError
from channels.errors import Meaning
from channels.failure import FAILURES
from channels.management.commands.error_tables import backends
from tests.contract.conftest import Authority
from tests.contract.providers import PROVIDERS, SECRETS, Provider, kind, outcome, served
from tests.contract.sandboxed import SANDBOXED
from tests.contract.stand_in import Instead, Silent, SpeaksFirst
from tests.ports import free_port

SHORT = timedelta(seconds=0.5)
# A code that is shown as it is: no form such as 4xx, and no word of ours for what has none.
A_CODE = re.compile(r"[a-z]+(_[a-z]+)+|[0-9]{3,5}|[0-9](\.[0-9]+){2}")


def with_rows(makers: list[type[Provider]]) -> list[Any]:
    made = [maker() for maker in makers]
    return [
        pytest.param(provider, row, id=f"{provider.label}-{row.code}")
        for provider in made
        for row in provider.table.values()
    ]


def facts(result: Receipt | ChannelError) -> dict[str, object]:
    """All that anything is decided by."""
    told: dict[str, object] = {"kind": kind(result)}
    match result:
        case PermanentError():
            told |= {"refuses": result.refuses}
        case RateLimited():
            told |= {"patience": result.retry_after}
        case TransientError():
            told |= {"patience": result.retry_after, "isolated": result.isolated, "rests": result.rests}
    return told


def play(provider: Provider, row: Meaning, authority: Authority, patch: pytest.MonkeyPatch) -> Receipt | ChannelError:
    """Have the provider, or the network before it, do what the row is about; what comes of one message then."""
    if reason := provider.weaker.get(f"row {row.code}"):
        pytest.skip(reason)
    if row.code in FAILURES and row.kind is FAILURES[row.code].kind:
        return play_the_network(provider, row.code, authority, patch)
    with provider.stand_in() as stand_in:
        provider.arrange(stand_in, row)
        return provider.send(stand_in, row)


def play_the_network(
    provider: Provider, code: str, authority: Authority, patch: pytest.MonkeyPatch
) -> Receipt | ChannelError:
    if code == "timeout in doubt":
        with served(provider, Instead.HANG) as stand_in:
            return outcome(provider.backend(stand_in.port, limit=SHORT), provider.message)
    if code == "connection in doubt":
        with served(provider, Instead.HANG_UP) as stand_in:
            return outcome(provider.backend(stand_in.port), provider.message)
    if not provider.has_a_network:
        pytest.skip("a matter of the network before any provider, played without the sandbox")
    if code == "certificate":  # of an authority that nobody here knows
        with served(provider, tls=authority.server) as stand_in:
            return outcome(provider.backend(stand_in.port, tls=True), provider.message)
    if code == "tls":
        with SpeaksFirst() as stand_in:
            return outcome(provider.backend(stand_in.port, tls=True), provider.message)
    if code == "timeout":
        with Silent() as stand_in:
            return outcome(provider.backend(stand_in.port, limit=SHORT, tls=True), provider.message)
    if code == "dns":
        patch.setattr(socket, "getaddrinfo", no_such_host)
    if code == "forbidden_address":
        return outcome(provider.forbidden(free_port()), provider.message)
    return outcome(provider.backend(free_port()), provider.message)


def no_such_host(*_: object, **__: object) -> None:
    """The system's resolver, where no name is known."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize(("provider", "row"), with_rows([*PROVIDERS, *SANDBOXED]))
def test_a_row_of_the_table_is_what_comes_of_it(
    provider: Provider, row: Meaning, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = play(provider, row, authority, monkeypatch)

    assert isinstance(result, ChannelError)
    assert facts(result) == facts(row.error("a detail"))
    code = row.code.partition(" ")[0]
    assert not A_CODE.fullmatch(code) or code in result.code.split()
    assert [secret for secret in SECRETS if secret in f"{result.code} {result.detail}"] == []


def test_every_backend_with_a_table_is_played_here() -> None:
    played = {maker().backend(0).name for maker in PROVIDERS}

    assert played == {backend.name for backend in backends()}


def test_every_row_names_the_page_that_says_so() -> None:
    rows = {row for maker in PROVIDERS for row in maker().table.values()}

    assert all(row.source.startswith("https://") and row.says for row in rows)
