"""What a pod may do, should somebody else come to run in it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.kubernetes.manifests import Container, Manifests
from tests.unit.test_deployment_files import stages

BARE = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


def pods_have_no_privileges(manifests: Manifests) -> Iterator[str]:
    [user] = {line.split()[1] for line in stages()["production"] if line.startswith("USER ")}
    for pod in manifests.every_pod():
        context = pod.spec.get("securityContext", {})
        if context.get("runAsNonRoot") is not True or context.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{pod.owner}: may be root, or call what it likes of the kernel"
        if pod.spec.get("automountServiceAccountToken") is not False:
            yield f"{pod.owner}: is given a token of Kubernetes"
        if pod.ours and f"{context.get('runAsUser')}:{context.get('runAsGroup')}" != user:
            yield f"{pod.owner}: does not run as the image's user, {user}"
        for container in pod.containers:
            yield from _container(container)


def _container(container: Container) -> Iterator[str]:
    context = dict(container.body.get("securityContext", {}))
    read_only = context.pop("readOnlyRootFilesystem", False)
    if context != BARE:
        yield f"{container}: may raise its privileges, or has some"
    if not container.pod.ours:
        return  # Postgres and RabbitMQ of development write where their images have it
    if not read_only:
        yield f"{container}: may change the program"
    writable = [each["mountPath"] for each in container.body.get("volumeMounts", [])]
    if writable != ["/tmp"]:
        yield f"{container}: writes to {writable}"


def images_are_pinned(manifests: Manifests) -> Iterator[str]:
    for name, image in _images(manifests):
        _, colon, tag = image.rpartition(":")
        if not colon or tag == "latest" or "/" in tag:
            yield f"{name}: {image} is whatever is there that day"


def _images(manifests: Manifests) -> Iterator[tuple[str, str]]:
    for pod in manifests.every_pod():
        for container in pod.containers:
            yield str(container), container.body["image"]
    for each in manifests.of("Cluster", "RabbitmqCluster"):
        yield each["kind"], each["spec"].get("imageName", each["spec"].get("image", ""))


def namespace_is_restricted(manifests: Manifests) -> Iterator[str]:
    [namespace] = manifests.of("Namespace")
    labels = namespace["metadata"]["labels"]
    if labels.get("pod-security.kubernetes.io/enforce") != "restricted":
        yield "the namespace lets in what it should not"
    if not re.fullmatch(r"v1\.\d+", labels.get("pod-security.kubernetes.io/enforce-version", "")):
        yield "what the namespace lets in changes with the cluster"
    for each in manifests.every:
        if each["kind"] != "Namespace" and each["metadata"].get("namespace") != namespace["metadata"]["name"]:
            yield f"{each['kind']} {each['metadata']['name']}: is in another namespace"
