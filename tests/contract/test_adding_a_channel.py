"""The guide, followed to the letter: a guide that rots fails here."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.request import Request, urlopen

import pytest
from django.test import override_settings

import channels
from channels.contract import Receipt, Unacceptable
from channels.registry import channel
from notifier import environment
from tests.contract import providers, test_contract, test_rows
from tests.contract.conftest import Authority
from tests.contract.providers import Provider, outcome, served
from tests.contract.stand_in import HttpStandIn

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "adding_a_channel.md"
BLOCKS = {
    block.partition("\n")[0].removeprefix("# "): block
    for block in re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
}
LONGEST = 60  # lines of a channel, docstrings and imports included
THE_REST = "    # and the others, as they are\n}\n"
# Every test of the suite that asks for nothing but a provider.
SUITE = [
    test for name, test in vars(test_contract).items()
    if name.startswith("test_") and list(inspect.signature(test).parameters) == ["provider"]
]  # fmt: skip


def run(block: str, known: dict[str, Any]) -> dict[str, Any]:
    exec(compile(BLOCKS[block], str(GUIDE), "exec"), known)
    return known


CODES = list(run("channels/ntfy.py", {"__name__": "channels.ntfy"})["ERRORS"])


@pytest.fixture
def ntfy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    (tmp_path / "ntfy.py").write_text(BLOCKS["channels/ntfy.py"])
    monkeypatch.setattr(channels, "__path__", [*channels.__path__, str(tmp_path)])
    yield importlib.import_module("channels.ntfy")
    del sys.modules["channels.ntfy"]
    del channels.ntfy  # type: ignore[attr-defined]


@pytest.fixture
def provider(ntfy: ModuleType) -> Provider:
    known = run("tests/contract/providers.py", {**vars(providers), "Ntfy": ntfy.Ntfy})
    made: Provider = known["NtfyProvider"]()
    return made


def test_a_channel_is_a_short_file() -> None:
    assert len(BLOCKS["channels/ntfy.py"].splitlines()) <= LONGEST


def test_the_suite_is_not_empty() -> None:
    assert len(SUITE) > 10


@pytest.mark.parametrize("test", SUITE, ids=lambda test: test.__name__)
def test_the_guides_example_passes_the_contract(provider: Provider, test: Callable[[Provider], None]) -> None:
    test(provider)


@pytest.mark.parametrize("code", CODES)
def test_every_row_of_the_guides_table_is_what_comes_of_it(
    provider: Provider, code: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    test_rows.test_a_row_of_the_table_is_what_comes_of_it(provider, provider.table[code], authority, monkeypatch)


def test_the_settings_of_the_guide_make_a_channel(ntfy: ModuleType) -> None:
    known = run("notifier/settings.py", {"environment": environment, "_ON_UNKNOWN": ("resend", "hold")})
    with override_settings(NOTIFIER_CHANNELS=known["NOTIFIER_CHANNELS"]):
        made = channel("push")
        assert isinstance(made.backend, ntfy.Ntfy)
        assert (made.lane("alerts"), made.backend.configured, list(made.backend.problems())) == ("push", True, [])


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


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """The service's own code, after the guide's two steps: a file, and an entry of the settings."""
    for folder in ("channels", "notifications", "notifier"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", tmp_path)
    (tmp_path / "channels" / "ntfy.py").write_text(BLOCKS["channels/ntfy.py"])
    settings = tmp_path / "notifier" / "settings.py"
    entry = BLOCKS["notifier/settings.py"].partition("\n")[2].removesuffix(THE_REST)
    assert settings.read_text().count("NOTIFIER_CHANNELS = {\n") == 1
    settings.write_text(settings.read_text().replace("NOTIFIER_CHANNELS = {\n", entry))
    return tmp_path


@pytest.mark.django_db(transaction=True)
def test_what_is_posted_to_the_new_channel_is_sent_by_a_worker(service: Path) -> None:
    from notifications import credentials
    from tests import processes
    from tests.eventually import eventually
    from tests.factories import ApiKeyFactory

    key = credentials.new_key().text
    ApiKeyFactory(text=key)

    def asked(url: str, body: dict[str, str] | None = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Idempotency-Key": "disk-full"}
        with urlopen(Request(url, json.dumps(body).encode() if body else None, headers), timeout=10) as answer:
            told: dict[str, Any] = json.load(answer)
            return told

    with HttpStandIn() as vendor:
        vendor.answer = providers.http_answer(200, b'{"id": "sPs71M8A2T", "event": "message"}')
        known = {"NTFY_BASE_URL": f"http://127.0.0.1:{vendor.port}", "NTFY_TOKEN": providers.TOKEN}
        with processes.web(root=service, **known) as (_, url), processes.worker(root=service, **known):
            posted = {"channel": "push", "to": "alerts", "subject": "Disk full", "message": "98 % of /var"}
            made = f"{url}/api/v1/notifications/{asked(f'{url}/api/v1/notifications', posted)['id']}"
            eventually(lambda: asked(made)["status"] == "sent", seconds=20, what="the notification is sent")
            (attempt,) = asked(made)["attempts"]

    (request,) = vendor.requests
    assert json.loads(request.body) == {"topic": "alerts", "title": "Disk full", "message": "98 % of /var"}
    assert request.headers["authorization"] == f"Bearer {providers.TOKEN}"
    assert (attempt["outcome"], attempt["backend"], attempt["code"]) == ("accepted", "ntfy", "200")


def test_a_wrong_setting_of_the_new_channel_is_refused_by_its_name(service: Path) -> None:
    from tests import processes

    checked = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=service,
        env=processes.plain_environment(NTFY_BASE_URL="http://ntfy.example.com", NTFY_TOKEN=providers.TOKEN),
        capture_output=True,
        text=True,
        check=False,
    )

    assert checked.returncode == 1
    assert "NTFY_BASE_URL" in checked.stderr
    assert providers.TOKEN not in checked.stderr
