"""What the containers of the program are told, against the program itself, docker-compose.yml and the Dockerfile."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from channels.registry import channels
from notifier.environment import BASE_DIR
from tests.kubernetes.manifests import Container, Manifests
from tests.unit.test_deployment_files import SECRET, command, read_by_the_program, services

# Put into a command by Kubernetes, and read by nobody.
OF_THE_COMMAND = {"CHANNEL"}
# Nobody's: what the sandbox plays opens no account.
PLAYED = "sandbox"
# Kubernetes' own word for what docker-compose.yml calls them.
SERVICES = {"web": "web", "worker": "worker", "migrate": "migrate", "sandbox": "sandbox"}


def variables_are_the_programs(manifests: Manifests) -> Iterator[str]:
    known = read_by_the_program()
    for name in manifests.settings().keys() - known:
        yield f"{name} is set, and read by nobody"
    for container in _ours(manifests):
        for name in container.environment.keys() - known - OF_THE_COMMAND:
            yield f"{container}: {name} is set, and read by nobody"
        for name in OF_THE_COMMAND & container.environment.keys():
            if f"$({name})" not in container.body["command"]:
                yield f"{container}: {name} is set, and not in its command"
        if {"DATABASE_URL", "BROKER_URL"} - container.environment.keys():
            yield f"{container}: has no database or no broker"
        sources = [reference for each in container.body.get("envFrom", []) for reference in each]
        if sources != ["secretRef", "configMapRef"]:
            yield f"{container}: takes its settings from {sources}"


def secrets_come_by_reference(manifests: Manifests) -> Iterator[str]:
    if manifests.of("Secret"):
        yield "a Secret is among the manifests"
    for name, value in manifests.settings().items():
        if SECRET.search(name) and name != "PUBLIC_URL" and value and PLAYED not in value:
            yield f"{name} has a value"
    for pod in manifests.every_pod():
        for container in pod.containers:
            for name, value in container.environment.items():
                if SECRET.search(name) and isinstance(value, str):
                    yield f"{container}: {name} has a value"


def services_make_no_variables(manifests: Manifests) -> Iterator[str]:
    """A Service `web` makes WEB_PORT=tcp://… of each container, and that is a setting."""
    for pod in manifests.every_pod():
        if pod.spec.get("enableServiceLinks") is not False:
            yield f"{pod.owner}: a Service becomes variables of it"


def commands_are_those_of_compose(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods():
        given = pod.main.command
        expected = re.sub(r"\$\{\w+:-(\w+)\}", r"\1", command(SERVICES[pod.component])).split()
        if pod.component == "web":
            if given:
                yield f"{pod.owner}: has a command, and not the image's own"
            continue
        if pod.component == "worker":
            expected += ["--queues", pod.labels.get("channel", "")]
        if given != expected:
            yield f"{pod.owner}: {' '.join(given)}, not {' '.join(expected)}"


def every_channel_has_one_worker(manifests: Manifests) -> Iterator[str]:
    served = Counter(queue for pod in manifests.pods("worker") for queue in _queues(pod.main.command))
    for name in channels():
        if served[name] != 1:
            yield f"the channel {name} has {served[name]} worker Deployments"
    for name in served.keys() - channels().keys():
        yield f"there is a worker for {name}, which is no channel"


def _queues(arguments: list[str]) -> list[str]:
    """As Dramatiq's command reads them."""
    from dramatiq.cli import make_argument_parser

    queues: list[str] = make_argument_parser().parse_args(arguments[1:]).queues or []
    return queues


def limits_are_no_less_than_composes(manifests: Manifests) -> Iterator[str]:
    for component in ("web", "worker"):
        compose = services()[component]["deploy"]["resources"]["limits"]
        for pod in manifests.pods(component):
            limits = pod.main.body["resources"]["limits"]
            if float(limits["cpu"]) != float(compose["cpus"]) or mebibytes(limits) < mebibytes(compose):
                yield f"{pod.owner}: is limited to {limits}, and by docker-compose.yml to {compose}"


def mebibytes(limits: Mapping[str, str]) -> int:
    """Docker's M is Kubernetes' Mi, and its G Gi."""
    amount, unit = re.fullmatch(r"(\d+)([MG])i?", limits["memory"]).groups()  # type: ignore[union-attr]
    return int(amount) * {"M": 1, "G": 1024}[unit]


def first_containers_are_the_program(manifests: Manifests) -> Iterator[str]:
    """Those that wait for the migration: the same program, with the same settings."""
    same = ("image", "envFrom", "securityContext", "volumeMounts")
    for pod in manifests.pods():
        waiting = [each for each in pod.containers if each.first]
        if len(waiting) != (pod.component in {"web", "worker"}):
            yield f"{pod.owner}: has {len(waiting)} containers that wait for the migration"
        for container in waiting:
            if "manage.py migrate --check" not in " ".join(container.command):
                yield f"{container}: does not look for the migration"
            if any(pod.main.environment.get(name) != said for name, said in container.environment.items()):
                yield f"{container}: its environment is not that of the program"
            for field in same:
                if container.body.get(field) != pod.main.body.get(field):
                    yield f"{container}: its {field} is not that of the program"


def _ours(manifests: Manifests) -> list[Container]:
    return [container for pod in manifests.pods() for container in pod.containers]


def example_of_secrets() -> set[str]:
    text = (BASE_DIR / "deploy/kubernetes/secrets.env.example").read_text(encoding="utf-8")
    return set(re.findall(r"(?m)^([A-Z][A-Z0-9_]*)=$", text))
