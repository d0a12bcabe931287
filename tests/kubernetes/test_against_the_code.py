"""The manifests, against the program that they run."""

from __future__ import annotations

import pytest

from tests.kubernetes.checks import EVERY, Check, program
from tests.kubernetes.manifests import Manifests
from tests.unit.test_deployment_files import SECRET, read_by_the_program

OF_ENGINES = ("DATABASE_URL", "BROKER_URL")  # in Secrets of their own


@pytest.mark.parametrize("check", EVERY, ids=lambda check: check.__name__)
def test_the_manifests_hold(check: Check, manifests: Manifests) -> None:
    assert list(check(manifests)) == []


def test_the_example_of_secrets_names_what_is_read_and_every_secret() -> None:
    named = program.example_of_secrets()
    assert named <= read_by_the_program()
    addresses = {"PUBLIC_URL", "SANDBOX_URL", "TWILIO_BASE_URL", "RESEND_BASE_URL"}  # told to anybody
    secrets = {name for name in read_by_the_program() if SECRET.search(name)} - addresses
    assert {name for name in secrets if not name.endswith(OF_ENGINES)} <= named
