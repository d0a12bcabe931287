"""What is in the images, and what is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath

import pytest

from notifier.environment import BASE_DIR
from tests.smoke.engine import BUILDING, Engine, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

IMAGES = ("production", "development")
ADDED_AT_MOST = 220  # million bytes more than Python's own image: most of it packages and their bytecode
BUILD_TOOLS = {"cc", "c++", "gcc", "g++", "clang", "ld", "make", "rustc", "cargo", "go", "git"}
# Of the checkout, of those who build, and of packages: no container has a use for them.
LEFT_OUT = {"tests", ".git", ".env", ".env.example", ".data", ".venv", ".cache", ".pytest_cache"}


def pythons_own() -> str:
    """The image that ours are laid upon."""
    found = re.search(r"(?m)^ARG PYTHON_IMAGE=(.+)$", (BASE_DIR / "Dockerfile").read_text(encoding="utf-8"))
    assert found
    return found[1]


def pinned(name: str) -> set[str]:
    text = (BASE_DIR / "requirements" / name).read_text(encoding="utf-8")
    return {found.replace("-", "_").lower() for found in re.findall(r"(?m)^([A-Za-z0-9_.-]+)(?:\[.*?\])?==", text)}


@pytest.fixture(scope="module")
def built(engine: Engine) -> dict[str, str]:
    """The name of each image, by its target."""
    for target in IMAGES:
        command = ["docker", "build", "--target", target, "--tag", f"notifier-smoke:{target}", "."]
        run(command, seconds=BUILDING, folder=BASE_DIR)
    return {target: f"notifier-smoke:{target}" for target in IMAGES}


@pytest.fixture(scope="module")
def base(engine: Engine, built: dict[str, str]) -> dict[str, str]:
    return engine.files(pythons_own())


@pytest.mark.parametrize("target", IMAGES)
def test_an_image_is_small(engine: Engine, built: dict[str, str], target: str, told: Callable[[str], None]) -> None:
    of_python, ours = (each["Size"] / 1e6 for each in engine.inspect(pythons_own(), built[target]))
    told(f"{target} image: {ours:.0f} MB, of which Python's own image is {of_python:.0f} MB")
    assert ours - of_python <= ADDED_AT_MOST


@pytest.mark.parametrize("target", IMAGES)
def test_an_image_adds_the_program_and_its_packages_and_nothing_else(
    engine: Engine, built: dict[str, str], base: dict[str, str], target: str
) -> None:
    added = {path: kind for path, kind in engine.files(built[target]).items() if path not in base}
    places = {PurePosixPath(path).parts[1] for path in added} - {"etc"}  # where the user is written down
    assert places == {"app", "venv"}
    assert {path for path in added if path.startswith("/app/") and path.count("/") == 2} == {
        *("/app/manage.py", "/app/deploy", "/app/channels", "/app/notifications", "/app/notifier", "/app/__pycache__")
    }
    names = {path: PurePosixPath(path).name for path in added}
    assert [path for path, name in names.items() if name in LEFT_OUT] == []
    assert [path for path, name in names.items() if re.fullmatch(r"(pip|setuptools|wheel)(-.*)?", name)] == []
    assert [path for path, name in names.items() if re.search(r"\.(c|o|a|whl|tar\.gz)$", name)] == []


@pytest.mark.parametrize("target", IMAGES)
def test_an_image_has_no_compiler_and_no_packages_of_development(
    engine: Engine, built: dict[str, str], target: str
) -> None:
    files = engine.files(built[target])
    programs = {path for path in files if re.fullmatch(r"(/usr(/local)?|/venv)?/s?bin/[^/]+", path)}
    assert [path for path in programs if PurePosixPath(path).name in BUILD_TOOLS] == []
    installed = {
        found[1].replace("-", "_").lower()
        for path in files
        if (found := re.fullmatch(r"/venv/lib/[^/]+/site-packages/(.+?)-[^-/]+\.dist-info", path))
    }
    wanted = pinned("prod.txt") | (pinned("reload.txt") if target == "development" else set())
    assert {"django", "dramatiq", "psycopg"} <= installed <= wanted
    assert not installed & (pinned("dev.txt") - wanted)


@pytest.mark.parametrize("target", IMAGES)
def test_an_image_says_by_number_that_it_is_run_as_an_ordinary_user(
    engine: Engine, built: dict[str, str], target: str
) -> None:
    [found] = engine.inspect(built[target])
    assert found["Config"]["User"] == "10001:10001"
    assert found["Config"]["Healthcheck"]["Test"] == ["CMD", "python", "deploy/check_http.py", "8000"]
    names = {entry.partition("=")[0] for entry in found["Config"]["Env"]}
    assert not names & {"SECRET_KEY", "DATABASE_URL", "BROKER_URL"}


@pytest.mark.parametrize("target", IMAGES)
def test_nothing_of_an_image_belongs_to_its_user_or_can_be_written_by_it(
    engine: Engine, built: dict[str, str], target: str
) -> None:
    program = ("find", "/app", "/venv", "(", "-writable", "-o", "-user", "10001", ")", "!", "-type", "l")
    options = ("--rm", "--network=none", f"--entrypoint={program[0]}")
    assert engine.docker("run", *options, built[target], *program[1:]) == ""
