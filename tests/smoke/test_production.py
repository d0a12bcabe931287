"""The production profile of docker-compose.yml, from nothing, as docs/deployment.md tells to try it."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.request import urlopen

import pytest

from tests.eventually import eventually
from tests.smoke.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

PROGRAM = ("web", "worker", "sandbox")
# Where a process of the container may write, and finds it gone with the container: memory, none of it the image's.
MEMORY = ("/tmp", "/dev", "/proc", "/sys")


@pytest.mark.parametrize("channel", ["slack", "email", "sms"])
def test_from_nothing_it_comes_up_and_a_notification_goes_through(production: Stack, channel: str) -> None:
    call = production.send(channel, f"through production by {channel}")
    eventually(lambda: production.status(call) == "sent", what="the status `sent`")
    assert production.received(call.text) == [call.text]


def test_every_container_that_lasts_becomes_healthy(production: Stack, told: Callable[[str], None]) -> None:
    took = production.until_healthy()
    names = sorted(each["Config"]["Labels"]["com.docker.compose.service"] for each in production.inspect())
    assert names == ["migrate", "postgres", "rabbitmq", "sandbox", "web", "worker", "worker"]
    told(f"production: all healthy {took:.0f} s after the first answers")
    assert json.load(urlopen(f"{production.url}/readyz?strict", timeout=10))["workers"] == 2


@pytest.mark.parametrize("service", PROGRAM)
def test_every_process_is_an_ordinary_users_and_has_no_capability(production: Stack, service: str) -> None:
    for container in production.containers(service):
        statuses = production.engine.docker("exec", container, "sh", "-c", "cat /proc/[0-9]*/status")
        fields = [line.partition(":")[::2] for line in statuses.splitlines()]
        seen = {
            name: {value.strip() for key, value in fields if key == name}
            for name in ("Uid", "Gid", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs")
        }
        assert seen.pop("Uid") == seen.pop("Gid") == {"\t".join(["10001"] * 4)}
        assert seen.pop("NoNewPrivs") == {"1"}
        assert set().union(*seen.values()) == {"0" * 16}


@pytest.mark.parametrize("user", ["10001", "0"])
@pytest.mark.parametrize("service", PROGRAM)
def test_nothing_but_memory_can_be_written(production: Stack, service: str, user: str) -> None:
    program = """
import os, tempfile
for folder, _, _ in os.walk("/"):
    if not folder.startswith(MEMORY):
        try:
            open(os.path.join(folder, "written"), "w")
        except OSError:
            continue
        print(folder)
tempfile.TemporaryFile(dir="/tmp")
""".replace("MEMORY", repr(MEMORY))
    for container in production.containers(service):
        assert production.engine.docker("exec", "--user", user, container, "python", "-c", program) == ""


def test_the_limits_of_cpu_and_memory_are_kept_by_the_engine(production: Stack) -> None:
    limits = {
        service: {
            (each["HostConfig"]["NanoCpus"], each["HostConfig"]["Memory"]) for each in production.inspect(service)
        }
        for service in ("web", "worker")
    }
    assert limits == {"web": {(2_000_000_000, 768 * 2**20)}, "worker": {(1_000_000_000, 512 * 2**20)}}
