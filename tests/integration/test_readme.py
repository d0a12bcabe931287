"""The README's first minute, pasted."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.processes import ROOT, Made, made

pytestmark = pytest.mark.timeout(240)

README = (ROOT / "README.md").read_text()


@pytest.fixture
def newcomer() -> Iterator[Made]:
    with made() as service:
        yield service


def test_the_first_minute_is_what_it_says(newcomer: Made) -> None:
    (block,) = re.findall(r"<!-- first minute.*?-->\n```sh\n(.*?)```", README, re.DOTALL)
    block = block.replace("http://127.0.0.1:8000", newcomer.url).replace("http://127.0.0.1:8025", newcomer.sandbox)
    # Between the post and the look a person takes a second: the script waits until the message is there.
    arrived = 'until curl -sS "$BOX" | grep -q \'"count": 1\'; do sleep 0.1; done'
    (look,) = re.findall(r"'(http://[^']*/api/messages[^']*)'", block)
    sent = 'until curl -sS -H "Authorization: Bearer $KEY" "$API/$ID" | grep -q \'"status":"sent"\'; do sleep 0.1; done'
    block = block.replace("\n# See it arrive", f"\necho; BOX='{look}'; {arrived}\n# See it arrive")
    api = f"{newcomer.url}/api/v1/notifications"
    block = block.replace(f'curl -sS "{api}/$ID"', f'API={api}; {sent}\ncurl -sS "{api}/$ID"')
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.replace("\ncurl", "\necho; curl")],
        cwd=newcomer.folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    bodies = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    accepted, sandbox, replayed, read = bodies

    assert accepted == replayed
    assert accepted["status"] == "pending"
    assert "idempotent-replayed: true" in done.stdout.lower()
    assert (sandbox["count"], sandbox["results"][0]["body"]) == (1, "Hello")
    assert (read["id"], read["status"], len(read["attempts"])) == (accepted["id"], "sent", 1)
