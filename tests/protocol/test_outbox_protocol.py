"""The protocol of the outbox, every interleaving of it, by the model checker spin; and that it finds what is broken.

`outbox.pml` is the protocol in the checker's language. Spin makes a C program of it, which visits every state.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

PROTOCOL = Path(__file__).with_name("outbox.pml")
CHECKED_WITHIN = 300  # seconds, of a machine that has other work, too; alone the longest takes some three

# Of the assertion of each promise, as spin spells it: words that no other one has.
GAP = "outcome[1]==0"
SILENT_DUPLICATE = "marked[2]"
SENT_UNTRUE = "left_sent"
LOST = "attempt==3"

Check = Callable[..., str]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    spin, cc = shutil.which("spin"), shutil.which("cc")
    if spin is None:
        pytest.skip("spin is not installed (Debian: apt-get install spin)")
    if cc is None:
        pytest.skip("spin needs a C compiler named cc (Debian: apt-get install gcc libc6-dev)")

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=CHECKED_WITHIN, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def checked(*options: str) -> str:
        """The checker's report on the protocol with these options."""
        run(spin, "-a", *(f"-D{option}" for option in options), str(PROTOCOL))
        run(cc, "-O2", "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c")
        report = run("./pan", "-E", "-m10000", "-w22")
        assert "max search depth too small" not in report
        print(report)
        return report

    return checked


def violated(report: str) -> str | None:
    """The assertion of the promise that was broken; None where every state was visited and all held."""
    found = re.search(r"assertion violated (.*) \(at depth", report)
    if found is None:
        assert "errors: 0" in report, report
        assert "Search not completed" not in report, report
        return None
    return found[1]


# Two workers, and two threads of one, under either policy for unknown outcomes.
SETTINGS = [(), ("HOLD",), ("ONE_WORKER",), ("ONE_WORKER", "HOLD")]


@pytest.mark.parametrize("options", SETTINGS, ids=" ".join)
def test_the_protocol_holds_in_every_interleaving(check: Check, options: tuple[str, ...]) -> None:
    assert violated(check(*options)) is None


@pytest.mark.slow
@pytest.mark.timeout(2 * CHECKED_WITHIN)
@pytest.mark.parametrize("options", SETTINGS, ids=" ".join)
def test_the_protocol_holds_with_two_leases_lost_to_pauses(check: Check, options: tuple[str, ...]) -> None:
    assert violated(check("BURIALS=2", *options)) is None


def test_without_a_fence_a_lease_would_have_to_be_longer_than_any_pause(check: Check) -> None:
    without = ("NO_FENCE", "UNFENCED_START")

    assert violated(check(*without)) is not None
    assert violated(check(*without, "LONG_LEASE", "NO_ANSWER_LOST")) is None


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (("NO_FENCE",), SILENT_DUPLICATE),
        (("NO_ATTEMPT", "ONE_WORKER"), GAP),
        (("UNFENCED_START",), SILENT_DUPLICATE),
        (("ANY_LATE_SUCCESS", "HOLD"), SENT_UNTRUE),
        (("UNMARKED",), SILENT_DUPLICATE),
        (("UNSTARTED",), SILENT_DUPLICATE),
        (("CHECK_THEN_INSERT",), "created_twice"),
        (("ENQUEUED_AFTER_COMMIT",), LOST),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_the_checker_finds(check: Check, broken: tuple[str, ...], promise: str) -> None:
    found = violated(check(*broken))

    assert found is not None
    assert promise in found
