"""The database's machine vanishes: no packet comes from it any more, not even a refusal."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests import processes

from .out_of_reach import STATEMENTS
from .servers import short_folder

NOTICED_WITHIN = 15.0  # seconds; by the kernel's own it is a quarter of an hour, or two hours


def may_have_a_network_of_its_own() -> bool:
    tools = all(shutil.which(tool) for tool in ("unshare", "ip", "iptables"))
    tried = ["unshare", "--net", "iptables", "-A", "INPUT", "-i", "lo", "-j", "DROP"]
    return tools and subprocess.run(tried, capture_output=True, check=False).returncode == 0


def test_a_server_that_vanished_without_a_word_is_noticed_within_seconds() -> None:
    if not may_have_a_network_of_its_own():
        pytest.skip("needs unshare, ip and iptables, and the right to use them")
    with short_folder() as folder:
        done = subprocess.run(
            ["unshare", "--net", sys.executable, "-m", "tests.faults.database.out_of_reach", str(folder / "data")],
            cwd=processes.ROOT,
            env=processes.plain_environment(SECRET_KEY="of a test"),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    noticed: dict[str, float] = json.loads(done.stdout.splitlines()[-1])

    print(noticed)
    assert noticed.keys() == STATEMENTS.keys()
    assert max(noticed.values()) < NOTICED_WITHIN
