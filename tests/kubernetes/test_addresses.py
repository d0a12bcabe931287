"""The forms of what operators hand over, and of what the Ingress lets in, by the code that takes them."""

from __future__ import annotations

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from notifier import broker, environment
from notifier.rabbitmq_broker import Rabbitmq
from tests.kubernetes.conftest import Render
from tests.kubernetes.manifests import Manifests

# As CloudNativePG writes `uri`, and RabbitMQ's operator `connection_string`; what they make up as names and passwords
# is of letters, digits, - and _.
URI = "postgresql://notifier:pa_ss-word@notifier-database-rw.notifier:5432/notifier"
CONNECTION_STRING = "amqp://default_user_hmGpFhdewq65P9d:pa_ss-word@notifier-broker.notifier.svc:5672/"

WITHIN = {"metrics", "healthz", "readyz"}  # for Prometheus and the kubelet


def test_the_uri_of_the_database_is_taken() -> None:
    found = environment.database(URI)
    assert (found["HOST"], found["PORT"], found["NAME"]) == ("notifier-database-rw.notifier", 5432, "notifier")
    assert (found["USER"], found["PASSWORD"]) == ("notifier", "pa_ss-word")


def test_the_connection_string_of_the_broker_is_taken() -> None:
    built = broker.build(CONNECTION_STRING, ["sms"])
    assert isinstance(built, Rabbitmq)
    [parameters] = built.parameters if isinstance(built.parameters, list) else [built.parameters]
    assert (parameters.host, parameters.port, parameters.virtual_host) == ("notifier-broker.notifier.svc", 5672, "/")


def first_parts() -> set[str]:
    """Of every address of the service, up to its second slash."""
    found: set[str] = set()

    def walk(patterns: list[URLPattern | URLResolver], before: str) -> None:
        for each in patterns:
            address = before + str(each.pattern).removeprefix("^")
            if isinstance(each, URLResolver):
                walk(each.url_patterns, address)
            else:
                found.add(address.partition("/")[0])

    walk(get_resolver().url_patterns, "")
    return found


def test_the_ingress_lets_in_all_but_what_is_for_within(render: Render) -> None:
    [ingress] = Manifests.parse(render("overlays/production")).of("Ingress")
    [rule] = ingress["spec"]["rules"]
    let_in = {path["path"].strip("/"): path["pathType"] for path in rule["http"]["paths"]}
    assert first_parts() >= WITHIN | {"api", "admin", ""}
    assert let_in.keys() == first_parts() - WITHIN | {"static"}
    assert let_in.pop("") == "Exact"
    assert set(let_in.values()) == {"Prefix"}
    assert rule["host"] in ingress["spec"]["tls"][0]["hosts"]


@pytest.mark.parametrize("overlay", ["production"])
def test_the_public_address_is_the_ingress(render: Render, overlay: str) -> None:
    found = Manifests.parse(render(f"overlays/{overlay}"))
    [ingress] = found.of("Ingress")
    assert found.settings()["PUBLIC_URL"] == f"https://{ingress['spec']['rules'][0]['host']}"
    assert found.settings()["TRUST_FORWARDED_PROTO"] == "on"


def test_development_sends_to_the_sandbox_and_nowhere_else(render: Render) -> None:
    from channels import sandbox
    from tests.unit.test_deployment_files import OF_PROVIDERS

    settings = Manifests.parse(render("overlays/development")).settings()
    given = {name: value for name, value in settings.items() if OF_PROVIDERS.match(name)}
    assert {name: value for name, value in given.items() if value} == sandbox.environment(8025, 1025, "sandbox")
    from tests.unit.test_deployment_files import environment as of_compose

    named = {name for name in of_compose("web-dev") if OF_PROVIDERS.match(name)}
    assert named <= given.keys()  # else one in the secrets would send to somebody
