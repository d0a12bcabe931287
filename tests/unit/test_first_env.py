from __future__ import annotations

import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from notifier.environment import BASE_DIR

MADE_UP = ("SECRET_KEY", "POSTGRES_PASSWORD", "RABBITMQ_PASSWORD")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "deploy").mkdir()
    shutil.copy(BASE_DIR / "deploy" / "first_env.py", tmp_path / "deploy")
    shutil.copy(BASE_DIR / ".env.example", tmp_path)
    return tmp_path


def write(checkout: Path) -> subprocess.CompletedProcess[str]:
    script = checkout / "deploy" / "first_env.py"
    return subprocess.run([sys.executable, "-I", str(script)], capture_output=True, text=True, check=False, timeout=30)


def values(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def test_it_makes_up_the_secrets_and_sets_nothing_else(checkout: Path) -> None:
    assert write(checkout).returncode == 0
    given = values(checkout / ".env")
    assert given.keys() == values(checkout / ".env.example").keys()
    assert {name for name, value in given.items() if value} == set(MADE_UP)


def test_its_secrets_are_long_differ_and_fit_into_an_address(checkout: Path) -> None:
    write(checkout)
    first = [values(checkout / ".env")[name] for name in MADE_UP]
    (checkout / ".env").unlink()
    write(checkout)
    secrets = [*first, *(values(checkout / ".env")[name] for name in MADE_UP)]
    assert len(set(secrets)) == 6
    for secret in secrets:
        assert len(secret) >= 50  # what Django asks of a SECRET_KEY
        assert secret.replace("-", "").replace("_", "").isalnum()


def test_its_file_is_for_the_owner_alone(checkout: Path) -> None:
    write(checkout)
    assert stat.S_IMODE((checkout / ".env").stat().st_mode) == 0o600


def test_it_leaves_a_file_that_is_there_as_it_is(checkout: Path) -> None:
    (checkout / ".env").write_text("SECRET_KEY=mine\n")
    answer = write(checkout)
    assert answer.returncode == 0
    assert (checkout / ".env").read_text() == "SECRET_KEY=mine\n"
    assert "left as it is" in answer.stdout


def test_it_prints_no_secret(checkout: Path) -> None:
    answer = write(checkout)
    given = values(checkout / ".env")
    assert [name for name in MADE_UP if given[name] in answer.stdout + answer.stderr] == []


def test_an_example_without_a_secret_is_refused_before_anything_is_written(checkout: Path) -> None:
    example = checkout / ".env.example"
    example.write_text(example.read_text().replace("POSTGRES_PASSWORD=\n", ""))
    answer = write(checkout)
    assert answer.returncode != 0
    assert "POSTGRES_PASSWORD" in answer.stderr
    assert not (checkout / ".env").exists()
