"""How pods start, are asked how they are, and end, against what the code takes."""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.core.management import get_commands
from django.urls import Resolver404, resolve

from channels.registry import by_head
from notifications.chores import Housekeeper
from notifications.lifecycle import LAST_SENDS
from notifications.management.commands.check_worker import Command as CheckWorker
from notifications.operations import Operator
from tests.kubernetes.manifests import COMPONENT, Container, Manifests
from tests.unit.test_deployment_files import stages

PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
# What each kind of pod is asked: by name of the address in Django's, or by the command.
ASKED = {
    "web": {"startupProbe": "healthz", "readinessProbe": "readyz", "livenessProbe": "healthz"},
    "worker": {"startupProbe": "check_worker", "readinessProbe": "check_worker", "livenessProbe": "/metrics"},
}
ONE_MORE = {"maxSurge": 1, "maxUnavailable": 0}
PATIENCE = 4  # seconds that check_worker waits for a beat by itself


def probes_ask_what_is_there(manifests: Manifests) -> Iterator[str]:
    for component, asked in ASKED.items():
        for pod in manifests.pods(component):
            for probe, what in asked.items():
                body = pod.main.body.get(probe)
                if body is None:
                    yield f"{pod.owner}: has no {probe}"
                elif "httpGet" in body:
                    yield from _address(pod.main, body["httpGet"], what)
                elif body["exec"]["command"] != ["python", "manage.py", what] or what not in get_commands():
                    yield f"{pod.owner}: {probe} runs {body['exec']['command']}"
                elif body["timeoutSeconds"] <= PATIENCE:
                    yield f"{pod.owner}: {probe} ends before {what} has waited for a beat"


def _address(container: Container, asked: dict[str, str], what: str) -> Iterator[str]:
    if asked["port"] not in container.ports:
        yield f"{container}: is asked at the port {asked['port']}, which it has not"
    if what == "/metrics":  # the exporter's own server, which has no addresses but this one
        found = asked["path"] == what
    else:
        try:
            found = resolve(asked["path"]).url_name == what
        except Resolver404:
            found = False
    if not found:
        yield f"{container}: is asked for {asked['path']}, which is not {what}"


def liveness_asks_no_database(manifests: Manifests) -> Iterator[str]:
    """Else an outage of the database starts everybody anew, at once."""
    assert "database is a failure" in CheckWorker.help
    for pod in manifests.pods():
        probe = pod.main.body.get("livenessProbe", {})
        if "exec" in probe or probe.get("httpGet", {}).get("path") == "/readyz":
            yield f"{pod.owner}: is started anew while the database is away"


def grace_exceeds_the_limits(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods("web"):
        stop = pod.main.body.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        if not stop:
            yield f"{pod.owner}: is sent requests after SIGTERM"
        worst = stop + option("--workers-kill-timeout", image_command())
        if pod.spec.get("terminationGracePeriodSeconds", 30) <= worst:
            yield f"{pod.owner}: is killed before its requests have ended"
    longest = max(known.backend.send_timeout for known in by_head().values()).total_seconds()
    for pod in manifests.pods("worker"):
        shutdown = option("--worker-shutdown-timeout", pod.main.command) / 1000
        if shutdown <= longest:
            yield f"{pod.owner}: gives up on sends that may still end"
        # Dramatiq's threads, then the relay's own, then what is beside it: each in turn at the worst.
        worst = shutdown + LAST_SENDS + Operator.last_turn + Housekeeper.last_turn
        if pod.spec.get("terminationGracePeriodSeconds", 30) <= worst:
            yield f"{pod.owner}: is killed before it has given back what it holds ({worst:g} s)"


def image_command() -> list[str]:
    [line] = [line for line in stages()["runtime"] if line.startswith("CMD ")]
    return re.findall(r'"([^"]*)"', line)


def option(name: str, command: list[str]) -> int:
    return int(command[command.index(name) + 1])


def one_more_before_one_less(manifests: Manifests) -> Iterator[str]:
    for each in manifests.of("Deployment"):
        rolling = each["spec"].get("strategy", {}).get("rollingUpdate")
        if each["metadata"].get("labels", {}).get(COMPONENT) in ASKED and rolling != ONE_MORE:
            yield f"{each['metadata']['name']}: a roll-out takes something away"
