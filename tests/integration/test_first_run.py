"""Secrets made at the first start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from notifier import first_run

CHECKOUT = Path(__file__).resolve().parents[2]


def test_a_secret_is_the_same_at_every_start(tmp_path: Path) -> None:
    assert first_run.secret_key(tmp_path / "data") == first_run.secret_key(tmp_path / "data")


def test_two_folders_have_different_secrets(tmp_path: Path) -> None:
    assert first_run.secret_key(tmp_path / "one") != first_run.secret_key(tmp_path / "other")


def test_only_its_owner_can_read_a_secret(tmp_path: Path) -> None:
    first_run.admin_password(tmp_path / "data")
    kept = first_run.path(tmp_path / "data", "admin_password")
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700


def test_an_open_folder_is_closed_before_a_secret_is_put_there(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir(mode=0o755)
    first_run.secret_key(tmp_path)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def test_processes_that_start_at_once_agree_on_one_secret(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from notifier import first_run; sys.stdin.read();"
        "print(first_run.secret_key(Path(sys.argv[1])))"
    )
    starting = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "data")],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for one in starting:
        assert one.stdin is not None
        one.stdin.close()
        one.stdin = None
    told = {one.communicate()[0].strip() for one in starting}
    assert told == {first_run.secret_key(tmp_path / "data")}
    assert os.listdir(tmp_path / "data" / "secrets") == ["secret_key"]  # noqa: PTH208


def test_a_folder_that_keeps_nothing_is_named() -> None:
    with pytest.raises(first_run.UnusableFolder, match="/proc/nowhere/secrets/secret_key"):
        first_run.secret_key(Path("/proc/nowhere"))
