"""How many of each there are, and by what."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from tests.kubernetes.checks.running import image_command, option
from tests.kubernetes.manifests import Manifests

# Of a worker, beside its pool: its beat, and `check_worker` while that looks.
BESIDE_THE_POOL = 2
# For people, tools, the migration, the operator and its standbys.
SPARE = 100


def autoscalers_own_the_replicas(manifests: Manifests) -> Iterator[str]:
    """A number in the Deployment would be put back by each `apply`."""
    scaled = {each["spec"]["scaleTargetRef"]["name"] for each in manifests.of("HorizontalPodAutoscaler")}
    for each in manifests.of("Deployment"):
        name = each["metadata"]["name"]
        if name in scaled and "replicas" in each["spec"]:
            yield f"{name}: has a number of its own beside the autoscaler's"
    if scaled:  # development has none, and one of each
        for pod in manifests.pods():
            kind, _, name = pod.owner.partition("/")
            if kind == "Deployment" and pod.component != "sandbox" and name not in scaled:
                yield f"{name}: has no autoscaler"
    for each in manifests.of("HorizontalPodAutoscaler"):
        if not 2 <= each["spec"]["minReplicas"] < each["spec"]["maxReplicas"]:
            yield f"{each['metadata']['name']}: one may be left alone, or more may never come"
        if each["spec"]["behavior"]["scaleDown"]["stabilizationWindowSeconds"] < 60:
            yield f"{each['metadata']['name']}: comes and goes"


def workers_scale_by_their_own_channel(manifests: Manifests) -> Iterator[str]:
    for each in manifests.of("HorizontalPodAutoscaler"):
        name = each["spec"]["scaleTargetRef"]["name"]
        kinds = [metric["type"] for metric in each["spec"]["metrics"]]
        if kinds != (["Resource"] if name == "web" else ["External", "External"]):
            yield f"{name}: scales by {kinds}"
        external = [metric["external"] for metric in each["spec"]["metrics"] if metric["type"] == "External"]
        for one in external:
            channel = one["metric"].get("selector", {}).get("matchLabels", {}).get("channel")
            if name != f"worker-{channel}":
                yield f"{name}: scales by what waits in {channel}"


def connections_fit_the_database(manifests: Manifests) -> Iterator[str]:
    for cluster in manifests.of("Cluster"):
        allowed = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
        if (needed := connections(manifests) + SPARE) > allowed:
            yield f"max_connections is {allowed}, and {needed} may be wanted"


def connections(manifests: Manifests) -> int:
    """With as many of each as there may be, and one more while they are rolled out."""
    image = image_command()
    of_web = option("--workers", image) * option("--blocking-threads", image)
    of_worker = settings.DATABASES["default"]["OPTIONS"].get("pool", {}).get("max_size", 6) + BESIDE_THE_POOL
    return sum(
        (each["spec"]["maxReplicas"] + 1) * (of_web if each["metadata"]["name"] == "web" else of_worker)
        for each in manifests.of("HorizontalPodAutoscaler")
    )
