"""Containers of production die under load, one of each kind in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Timer
from time import monotonic
from typing import Any

import pytest

from tests.eventually import eventually
from tests.smoke.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

KILLED = ("web", "worker", "postgres", "rabbitmq")
BEFORE = AFTER = 60  # requests that are answered with 202 before a container dies, and once it is back
SEND = 0.3  # seconds that the provider takes for its answer: whoever dies, dies over sends that are under way
LEFT_DEAD = 5.0  # seconds that a container which a person has killed stays away


@pytest.fixture(params=KILLED)
def service(request: pytest.FixtureRequest, production: Stack) -> str:
    production.until_healthy()
    production.slow_provider(SEND)
    chosen: str = request.param
    return chosen


def test_a_container_that_dies_is_started_again_by_the_engine_and_nothing_is_lost(
    production: Stack, service: str, told: Callable[[str], None]
) -> None:
    container = production.containers(service)[0]
    before = state(production, container)
    told(
        "died: "
        + death(production, service, container, lambda: production.engine.kill_process(before["Pid"], production.image))
    )
    assert state(production, container)["RestartCount"] > before["RestartCount"]


def test_docker_kill_of_any_one_container_loses_nothing(
    production: Stack, service: str, told: Callable[[str], None]
) -> None:
    container = production.containers(service)[0]

    def kill() -> None:
        production.engine.docker("kill", container)
        killed = state(production, container)
        # The engine takes it for a person's wish, and starts it no more.
        assert (killed["Status"], killed["ExitCode"]) == ("exited", 137)
        Timer(LEFT_DEAD, production.engine.docker, ["start", container]).start()

    told(f"docker kill, {LEFT_DEAD:.0f} s away: {death(production, service, container, kill)}")


def death(stack: Stack, service: str, container: str, kill: Callable[[], None]) -> str:
    """Of one container, under load, until all goes on as before; and how long that took."""
    earlier = {each.id for each in stack.log.acknowledged()}
    doubled = set(stack.check().doubled) if earlier else set()
    with stack.load(f"{service} dies {len(earlier)}"):
        until_accepted(stack, BEFORE)
        accepted = {each.id for each in stack.log.acknowledged()} - earlier
        calls = len(stack.log.calls)
        started_at = state(stack, container)["StartedAt"]
        kill()
        began = monotonic()
        took = times(
            {
                "runs again": lambda: state(stack, container)["StartedAt"] != started_at,
                "all accepted before is sent": lambda: stack.open(accepted) == 0,
            },
            since=began,
        )
        until_accepted(stack, AFTER)
        stack.until_healthy(service)
        took["healthy"] = monotonic() - began
    during = [call for call in stack.log.calls[calls:] if call.status == 202]
    slowest = max(call.seconds for call in during)
    doubles = set(stack.check().doubled) - doubled
    return (
        f"{service}: {', '.join(f'{what} after {seconds:.1f} s' for what, seconds in took.items())};"
        f" the slowest of {len(during)} accepts took {slowest * 1000:.0f} ms; {len(doubles)} doubled, all marked"
    )


def times(conditions: Mapping[str, Callable[[], bool]], *, since: float) -> dict[str, float]:
    """When each was true for the first time, in seconds."""
    found: dict[str, float] = {}

    def all_were() -> bool:
        for what, condition in conditions.items():
            if what not in found and condition():
                found[what] = monotonic() - since
        return len(found) == len(conditions)

    eventually(all_were, seconds=90, what=f"{', '.join(conditions)}")
    return found


def until_accepted(stack: Stack, more: int) -> None:
    wanted = len(stack.log.acknowledged()) + more
    eventually(lambda: len(stack.log.acknowledged()) >= wanted, seconds=90, what=f"{more} more answers of 202")


def state(stack: Stack, container: str) -> dict[str, Any]:
    [found] = stack.engine.inspect(container)
    return {**found["State"], "RestartCount": found["RestartCount"]}
