from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from notifier.environment import BASE_DIR
from tests.kubernetes import kubectl as programs
from tests.kubernetes.manifests import Manifests

FOLDER = BASE_DIR / "deploy" / "kubernetes"
OVERLAYS = ("development", "production")

Render = Callable[[str], str]


@pytest.fixture(scope="session")
def kubectl() -> Path:
    found = programs.find()
    if found is None:
        pytest.skip("no kubectl with kustomize 5 or later here: `make kubectl` installs one (x86-64 Linux)")
    return found


@pytest.fixture(scope="session")
def render(kubectl: Path) -> Render:
    """What `kubectl kustomize` says of a folder of deploy/kubernetes."""

    @cache
    def rendered(folder: str) -> str:
        done = subprocess.run(
            [kubectl, "kustomize", FOLDER / folder], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr, done.stderr  # what is deprecated, or selects nothing
        return done.stdout

    return rendered


@pytest.fixture(scope="session", params=OVERLAYS)
def overlay(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def manifests(render: Render, overlay: str) -> Manifests:
    return Manifests.parse(render(f"overlays/{overlay}"))
