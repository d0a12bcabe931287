"""The guide's own example, taken from the page and held to the contract: a guide that rots fails here."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.test import override_settings

from channels.contract import Receipt, Unacceptable
from channels.registry import channel
from notifier import environment
from tests.contract import providers, test_contract
from tests.contract.providers import Provider, kind, outcome, served
from tests.contract.stand_in import HttpStandIn, http_answer

GUIDE = Path(__file__).resolve().parent.parent.parent / "docs" / "adding_a_channel.md"
BLOCKS = {
    block.partition("\n")[0].removeprefix("# "): block
    for block in re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
}
# Every test of the suite that asks for nothing but a provider.
SUITE = [
    test for name, test in vars(test_contract).items()
    if name.startswith("test_") and list(inspect.signature(test).parameters) == ["provider"]
]  # fmt: skip


@pytest.fixture
def ntfy(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("channels.ntfy")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(BLOCKS["channels/ntfy.py"], str(GUIDE), "exec"), module.__dict__)
    return module


@pytest.fixture
def provider(ntfy: ModuleType) -> Provider:
    known = {**vars(providers), "Ntfy": ntfy.Ntfy}
    exec(compile(BLOCKS["tests/contract/providers.py"], str(GUIDE), "exec"), known)
    made: Provider = known["NtfyProvider"]()
    return made


def test_the_suite_is_not_empty() -> None:
    assert len(SUITE) > 10


@pytest.mark.parametrize("test", SUITE, ids=lambda test: test.__name__)
def test_the_guides_example_passes_the_contract(provider: Provider, test: Callable[[Provider], None]) -> None:
    test(provider)


def test_the_settings_of_the_guide_make_a_channel(ntfy: ModuleType) -> None:
    entry: dict[str, Any] = eval(BLOCKS["notifier/settings.py"].partition("\n")[2], {"environment": environment})
    with override_settings(NOTIFIER_CHANNELS=entry):
        made = channel("push")
        assert isinstance(made.backend, ntfy.Ntfy)
        assert (made.lane("alerts"), made.backend.configured, list(made.backend.problems())) == ("push", True, [])


@pytest.mark.parametrize(
    ("status", "expected"),
    [(400, "permanent"), (401, "configuration"), (403, "configuration"), (404, "configuration"), (413, "permanent"),
     (429, "rate limited"), (500, "unknown"), (507, "unknown"), (204, "unknown")],
)  # fmt: skip
def test_every_row_of_the_guides_table(provider: Provider, status: int, expected: str) -> None:
    with served(provider, http_answer(status, b"{}")) as stand_in:
        assert kind(outcome(provider.backend(stand_in.port), provider.message)) == expected


def test_the_guides_example_keeps_the_providers_id(provider: Provider) -> None:
    with served(provider) as stand_in:
        assert isinstance(stand_in, HttpStandIn)
        receipt = outcome(provider.backend(stand_in.port), provider.message)
        assert isinstance(receipt, Receipt)
        assert receipt.provider_id == "sPs71M8A2T"
        assert stand_in.requests[0].headers["authorization"] == f"Bearer {providers.TOKEN}"


@pytest.mark.parametrize(
    ("to", "body", "field"), [("a/b", "hello", "to"), ("a", "ü" * 2049, "message"), ("a", "", "message")]
)
def test_the_guides_example_refuses_what_it_cannot_send(ntfy: ModuleType, to: str, body: str, field: str) -> None:
    with pytest.raises(Unacceptable) as refusal:
        ntfy.Ntfy().validate(to=to, subject="", body=body)
    assert refusal.value.field == field
