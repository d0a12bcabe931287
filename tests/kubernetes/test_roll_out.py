"""deploy/kubernetes/roll-out, with a stand-in for kubectl that writes down what it is asked."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.kubernetes.conftest import FOLDER

# `complete` and `failed` say what a Job is, as the test has it.
STAND_IN = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$*" in
*--dry-run=client*) echo job.batch/migrate-1 ;;
*condition=complete\\ --timeout=0*) [ -e "$STATE/old" ] ;;
*condition=failed\\ --timeout=0*) [ -e "$STATE/failed" ] ;;
*condition=complete*) [ ! -e "$STATE/failed" ] ;;
*delete*) rm -f "$STATE/old" ;;
esac
"""


@pytest.fixture
def roll_out(tmp_path: Path) -> Path:
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    return tmp_path


def run(place: Path) -> tuple[int, list[str], str]:
    done = subprocess.run(
        [FOLDER / "roll-out", "production"],
        env={"PATH": f"{place / 'bin'}:/usr/bin:/bin", "CALLS": str(place / "calls"), "STATE": str(place)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.returncode, (place / "calls").read_text().splitlines(), done.stderr


def place_of(calls: list[str], *words: str) -> int:
    [found] = [n for n, call in enumerate(calls) if all(word in call for word in words)]
    return found


def test_the_migration_comes_before_the_workers_and_these_before_the_web(roll_out: Path) -> None:
    code, calls, _ = run(roll_out)
    assert code == 0
    steps = [
        place_of(calls, "apply", "notin (migrate, worker, web)"),
        next(n for n, call in enumerate(calls) if "apply" in call and "=migrate" in call and "dry-run" not in call),
        place_of(calls, "wait", "migrate-1", "condition=complete", "--timeout=5s"),
        place_of(calls, "apply", "component=worker"),
        place_of(calls, "rollout status", "component=worker"),
        place_of(calls, "apply", "component=web"),
        place_of(calls, "rollout status", "component=web"),
    ]
    assert steps == sorted(steps)
    assert not [call for call in calls if "delete" in call]
    assert all("--namespace notifier " in call or "--kustomize" in call for call in calls)


def test_a_migration_that_fails_leaves_workers_and_web_alone(roll_out: Path) -> None:
    (roll_out / "failed").touch()
    code, calls, said = run(roll_out)
    assert code == 1
    assert "workers and web are what they were" in said
    assert not [call for call in calls if "component=worker" in call or "component=web" in call]


def test_a_migration_of_an_earlier_roll_out_makes_room(roll_out: Path) -> None:
    (roll_out / "old").touch()
    code, calls, _ = run(roll_out)
    assert code == 0
    assert place_of(calls, "delete", "migrate-1") < place_of(calls, "condition=complete", "--timeout=5s")
