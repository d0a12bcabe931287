"""The README's first minute, pasted."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.ports import free_port
from tests.processes import ROOT, Running, plain_environment

pytestmark = pytest.mark.timeout(240)

README = (ROOT / "README.md").read_text()


@pytest.fixture
def newcomer() -> Iterator[tuple[Path, dict[str, str]]]:
    """`make run` on other ports; the folder to paste in, and what to replace in what is pasted."""
    web, http, smtp = (str(free_port()) for _ in range(3))
    with tempfile.TemporaryDirectory(prefix="notifier-readme-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        environment = plain_environment(
            DATA_DIR=str(folder / ".data"),
            WEB_PORT=web,
            SANDBOX_PORT=http,
            SANDBOX_SMTP_PORT=smtp,
            WORKER_PROCESSES="1",
        )
        environment.pop("SECRET_KEY")
        running = Running([sys.executable, "manage.py", "up"], environment)
        try:
            eventually(lambda: "\nready" in running.log or running.popen.poll(), seconds=90, what="ready")
            assert running.popen.poll() is None, running.log
            yield folder, {"127.0.0.1:8000": f"127.0.0.1:{web}", "127.0.0.1:8025": f"127.0.0.1:{http}"}
            running.terminate()
            assert running.wait(60) == 0
        finally:
            running.end()


def test_the_first_minute_is_what_it_says(newcomer: tuple[Path, dict[str, str]]) -> None:
    folder, replaced = newcomer
    (block,) = re.findall(r"<!-- first minute.*?-->\n```sh\n(.*?)```", README, re.DOTALL)
    for old, new in replaced.items():
        block = block.replace(old, new)
    # Between the post and the look a person takes a second: the script waits until the message is there.
    arrived = 'until curl -sS "$BOX" | grep -q \'"count": 1\'; do sleep 0.1; done'
    (look,) = re.findall(r"'(http://[^']*/api/messages[^']*)'", block)
    sent = 'until curl -sS -H "Authorization: Bearer $KEY" "$API/$ID" | grep -q \'"status":"sent"\'; do sleep 0.1; done'
    block = block.replace("\n# See it arrive", f"\necho; BOX='{look}'; {arrived}\n# See it arrive")
    api = f"http://{replaced['127.0.0.1:8000']}/api/v1/notifications"
    block = block.replace(f'curl -sS "{api}/$ID"', f'API={api}; {sent}\ncurl -sS "{api}/$ID"')
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.replace("\ncurl", "\necho; curl")],
        cwd=folder, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    bodies = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    accepted, sandbox, replayed, read = bodies

    assert accepted == replayed
    assert accepted["status"] == "pending"
    assert "idempotent-replayed: true" in done.stdout.lower()
    assert (sandbox["count"], sandbox["results"][0]["body"]) == (1, "Hello")
    assert (read["id"], read["status"], len(read["attempts"])) == (accepted["id"], "sent", 1)
