"""What kustomize made of an overlay, as the checks ask for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

NAME: Final = "app.kubernetes.io/name"
COMPONENT: Final = "app.kubernetes.io/component"
OURS: Final = "notifier"  # the name that every pod of the program bears

Manifest = Mapping[str, Any]
Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Container:
    pod: Pod
    body: Mapping[str, Any]
    first: bool = False  # runs before the others, and ends

    @property
    def environment(self) -> dict[str, Any]:
        """By name, what is said of each here: a value, or where it comes from."""
        return {each["name"]: each.get("value", each.get("valueFrom")) for each in self.body.get("env", [])}

    @property
    def command(self) -> list[str]:
        """With what Kubernetes puts in for $(…); empty where the image's own is run."""
        values = {name: self._value(said) for name, said in self.environment.items()}
        command: list[str] = self.body.get("command", []) + self.body.get("args", [])
        return [values.get(word[2:-1], word) if word.startswith("$(") else word for word in command]

    def _value(self, said: Any) -> str:
        if isinstance(said, str):
            return said
        path: str = said.get("fieldRef", {}).get("fieldPath", "")
        return self.pod.labels.get(path.removeprefix("metadata.labels['").removesuffix("']"), "")

    @property
    def ports(self) -> dict[str, int]:
        return {each["name"]: each["containerPort"] for each in self.body.get("ports", [])}

    def __str__(self) -> str:
        return f"{self.pod.owner}/{self.body['name']}"


@dataclass(frozen=True, slots=True)
class Pod:
    owner: str  # Deployment/web
    labels: Labels
    spec: Mapping[str, Any]
    ours: bool

    @property
    def component(self) -> str:
        return self.labels.get(COMPONENT, "")

    @property
    def containers(self) -> list[Container]:
        firsts = [Container(self, body, first=True) for body in self.spec.get("initContainers", [])]
        return firsts + [Container(self, body) for body in self.spec["containers"]]

    @property
    def main(self) -> Container:
        return next(each for each in self.containers if not each.first)

    @property
    def ports(self) -> dict[str, int]:
        return {name: port for each in self.containers for name, port in each.ports.items()}


@dataclass(frozen=True, slots=True)
class Manifests:
    every: Sequence[Manifest]

    @classmethod
    def parse(cls, text: str) -> Manifests:
        return cls([each for each in yaml.load_all(text, Loader=yaml.CSafeLoader) if each])

    def of(self, *kinds: str) -> list[Manifest]:
        return [each for each in self.every if each["kind"] in kinds]

    def names(self, kind: str) -> set[str]:
        return {each["metadata"]["name"] for each in self.of(kind)}

    def settings(self) -> dict[str, str]:
        """What every container of the program is given, out of all ConfigMaps."""
        return {name: value for each in self.of("ConfigMap") for name, value in each["data"].items()}

    def pods(self, component: str = "") -> list[Pod]:
        return [pod for pod in self._pods() if pod.ours and (not component or pod.component == component)]

    def every_pod(self) -> list[Pod]:
        return list(self._pods())

    def _pods(self) -> Iterator[Pod]:
        for each in self.of("Deployment", "StatefulSet", "Job"):
            template = each["spec"]["template"]
            labels = template["metadata"]["labels"]
            owner = f"{each['kind']}/{each['metadata']['name']}"
            yield Pod(owner, labels, template["spec"], ours=labels.get(NAME) == OURS)


def selects(selector: Mapping[str, Any], labels: Labels) -> bool:
    """As Kubernetes reads a selector of labels; an empty one selects everything."""
    wanted: Labels = selector.get("matchLabels", {})
    return all(labels.get(name) == value for name, value in wanted.items())
