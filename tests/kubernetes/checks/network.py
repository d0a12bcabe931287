"""Who may talk to whom, against who listens where."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any
from unittest.mock import patch

from notifier import backends
from tests.kubernetes.manifests import Manifests, selects

# Of engines that operators run, and whose pods are not among the manifests: https://cloudnative-pg.io/docs/
# ("Networking", "Monitoring"), https://www.rabbitmq.com/docs/networking
ENGINES_PORTS = {5432, 8000, 9187, 5672, 4369, 25672, 15692, 35672}
PRIVATE = (
    *("10.0.0.1", "172.16.5.4", "192.168.1.1", "100.64.0.1", "169.254.169.254", "127.0.0.1"),
    *("fd00::1", "fe80::1", "::1"),
)
PUBLIC = ("3.33.152.127", "2600:1f18::1")


def _policies(manifests: Manifests, way: str) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    for policy in manifests.of("NetworkPolicy"):
        for rule in policy["spec"].get(way, []):
            yield policy["metadata"]["name"], policy["spec"]["podSelector"], rule


def policies_name_ports_that_are_open(manifests: Manifests) -> Iterator[str]:
    for name, selector, rule in _policies(manifests, "ingress"):
        pods = [pod for pod in manifests.every_pod() if selects(selector, pod.labels)]
        for port in rule["ports"]:
            listening = {number for pod in pods for number in pod.ports.values()} if pods else ENGINES_PORTS
            if port["port"] not in listening:
                yield f"NetworkPolicy {name}: lets in to {port['port']}, where nobody listens"
    for name, _, rule in _policies(manifests, "egress"):
        for peer in rule.get("to", []):
            if "podSelector" not in peer:
                continue
            pods = [pod for pod in manifests.every_pod() if selects(peer["podSelector"], pod.labels)]
            listening = {number for pod in pods for number in pod.ports.values()} if pods else ENGINES_PORTS
            for port in rule["ports"]:
                if port["port"] not in listening:
                    yield f"NetworkPolicy {name}: lets out to {port['port']}, where nobody listens"


def nothing_is_open_that_no_policy_names(manifests: Manifests) -> Iterator[str]:
    """Everything is denied, so what listens must be let in by somebody."""
    denied = [
        each
        for each in manifests.of("NetworkPolicy")
        if each["spec"]["podSelector"] == {} and set(each["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    ]
    if len(denied) != 1 or {"ingress", "egress"} & denied[0]["spec"].keys():
        yield "what no policy names is allowed"
    rules = list(_policies(manifests, "ingress"))
    for pod in manifests.every_pod():
        here = [rule for _, selector, rule in rules if selects(selector, pod.labels)]
        let_in = {port["port"] for rule in here for port in rule["ports"]}
        for name, number in pod.ports.items():
            if number not in let_in:
                yield f"{pod.owner}: nobody is let in to {name}"


def workers_reach_nothing_private(manifests: Manifests) -> Iterator[str]:
    for pod in manifests.pods():
        for name, selector, rule in _policies(manifests, "egress"):
            if not selects(selector, pod.labels):
                continue
            blocks = [peer["ipBlock"] for peer in rule.get("to", []) if "ipBlock" in peer]
            if not rule.get("to"):
                yield f"{pod.owner}: reaches everybody, by {name}"
            if blocks and pod.component != "worker":
                yield f"{pod.owner}: reaches the internet, by {name}"
            for address in PRIVATE:
                if any(_within(address, block) for block in blocks):
                    yield f"{pod.owner}: reaches {address}, by {name}"
            if blocks:
                for address in PUBLIC:
                    if not any(_within(address, block) for block in blocks):
                        yield f"{pod.owner}: does not reach {address}"
                ports = {port["port"] for port in rule["ports"]}
                wanted = {443, _relay_port("tls"), _relay_port("starttls")}
                if ports != wanted:
                    yield f"{pod.owner}: reaches the internet at {sorted(ports)}, not {sorted(wanted)}"


def _relay_port(security: str) -> int:
    """Where a relay is spoken to, unless SMTP_PORT says otherwise."""
    with patch.dict(os.environ, {"SMTP_SECURITY": security}):
        port: int = backends.email()["smtp"]("")["port"]
    return port


def _within(address: str, block: Mapping[str, Any]) -> bool:
    asked = ip_address(address)
    return asked in ip_network(block["cidr"]) and not any(asked in ip_network(each) for each in block.get("except", []))
