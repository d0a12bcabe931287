"""Whether what is named is there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.kubernetes.manifests import NAME, Manifests, selects

# Made by an operator, or by a person: docs/kubernetes.md says how.
BY_HAND = {"notifier-secrets", "notifier-tls", "notifier-backups"}
ENGINES = {
    "notifier-database-app": {"uri", "password"},
    "notifier-broker-default-user": {"connection_string", "password"},
}


def names_lead_somewhere(manifests: Manifests) -> Iterator[str]:
    for kind, name, key in _named(list(manifests.every)):
        if kind == "Secret":
            if name not in BY_HAND | ENGINES.keys() or (name in ENGINES and key not in ENGINES[name]):
                yield f"nobody makes the Secret {name} with {key or 'all that it has'}"
        elif name not in manifests.names(kind):
            yield f"there is no {kind} {name}"
    # What is made by operators is named by what they are asked for.
    for kind, secret in (("Cluster", "notifier-database-app"), ("RabbitmqCluster", "notifier-broker-default-user")):
        for name in manifests.names(kind):
            if not secret.startswith(f"{name}-"):
                yield f"the operator of {kind} {name} makes no {secret}"


def _named(node: Any) -> Iterator[tuple[str, str, str]]:
    """(kind, name, key) of everything that is referred to."""
    if isinstance(node, list):
        for each in node:
            yield from _named(each)
        return
    if not isinstance(node, dict):
        return
    for field, value in node.items():
        match field, value:
            case "configMapRef" | "configMapKeyRef", {"name": name}:
                yield "ConfigMap", name, ""
            case "secretRef" | "secretKeyRef" | "accessKeyId" | "secretAccessKey", {"name": name}:
                yield "Secret", name, value.get("key", "")
            case "secretName", str(name):
                yield "Secret", name, ""
            case "serviceAccountName", str(name):
                yield "ServiceAccount", name, ""
            case "scaleTargetRef", {"kind": kind, "name": name}:
                yield kind, name, ""
            case "service", {"name": name}:
                yield "Service", name, ""
            case "barmanObjectName", str(name):
                yield "ObjectStore", name, ""
            case "cluster", {"name": name}:
                yield "Cluster", name, ""
            case "serviceName", str(name):
                yield "Service", name, ""
        yield from _named(value)


def selectors_find_pods(manifests: Manifests) -> Iterator[str]:
    pods = manifests.every_pod()
    for each in manifests.of("Service", "PodDisruptionBudget", "PodMonitor"):
        selector = each["spec"]["selector"]
        wanted = {"matchLabels": selector} if each["kind"] == "Service" else selector
        if wanted["matchLabels"].get(NAME) in manifests.names("RabbitmqCluster"):
            continue  # its operator's pods bear its name
        if not any(selects(wanted, pod.labels) for pod in pods):
            yield f"{each['kind']} {each['metadata']['name']}: selects no pod"
    for each in manifests.of("ServiceMonitor"):
        labels = [service["metadata"].get("labels", {}) for service in manifests.of("Service")]
        if not any(selects(each["spec"]["selector"], found) for found in labels):
            yield f"ServiceMonitor {each['metadata']['name']}: selects no Service"
    for each in manifests.of("Deployment"):
        owner = f"Deployment/{each['metadata']['name']}"
        if [pod.owner for pod in pods if selects(each["spec"]["selector"], pod.labels)] != [owner]:
            yield f"{owner}: takes another's pods for its own"


def ports_by_name_exist(manifests: Manifests) -> Iterator[str]:
    for service in manifests.of("Service"):
        for pod in manifests.every_pod():
            if selects({"matchLabels": service["spec"]["selector"]}, pod.labels):
                for port in service["spec"]["ports"]:
                    target = port.get("targetPort", port["port"])
                    if target not in pod.ports and target not in pod.ports.values():
                        yield f"Service {service['metadata']['name']}: leads to the port {target}, which is not there"
    services = {
        each["metadata"]["name"]: {port["name"] for port in each["spec"]["ports"]} for each in manifests.of("Service")
    }
    for ingress in manifests.of("Ingress"):
        for path in (path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]):
            backend = path["backend"]["service"]
            if backend["port"]["name"] not in services.get(backend["name"], set()):
                yield f"{path['path']} leads to the port {backend['port']['name']}, which is not there"
    for monitor in manifests.of("ServiceMonitor"):
        for endpoint in monitor["spec"]["endpoints"]:
            if not any(endpoint["port"] in ports for ports in services.values()):
                yield f"ServiceMonitor: asks the port {endpoint['port']}, which is not there"
    for monitor in manifests.of("PodMonitor"):
        for pod in manifests.every_pod():
            if selects(monitor["spec"]["selector"], pod.labels):
                for endpoint in monitor["spec"]["podMetricsEndpoints"]:
                    if endpoint["port"] not in pod.ports:
                        yield f"PodMonitor: asks {pod.owner} at the port {endpoint['port']}, which is not there"
