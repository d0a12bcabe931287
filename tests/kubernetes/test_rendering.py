"""What kustomize makes of the folder, against Kubernetes' own schemas."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import kubernetes_validate
import pytest

from notifier.environment import BASE_DIR
from tests.kubernetes import custom
from tests.kubernetes.checks import references
from tests.kubernetes.conftest import FOLDER, OVERLAYS, Render
from tests.kubernetes.manifests import Manifests

# What upstream supports, the three newest (https://kubernetes.io/releases/); docs/kubernetes.md says the same.
SUPPORTED = ("1.35", "1.36", "1.37")
FOLDERS = ("base", *(f"overlays/{name}" for name in OVERLAYS))


@pytest.fixture(scope="module")
def schemas_read_once() -> Iterator[None]:
    """The validator reads the same megabyte of definitions for every manifest."""
    read = kubernetes_validate.utils.schema_contents
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_validate.utils, "schema_contents", cache(read))
        yield


# Overlays hold all of the base, and more: by itself it is judged once.
@pytest.mark.parametrize(
    ("folder", "version"),
    [("base", SUPPORTED[-1]), *((f"overlays/{name}", version) for name in OVERLAYS for version in SUPPORTED)],
)
@pytest.mark.usefixtures("schemas_read_once")
def test_kubernetes_accepts_it(render: Render, folder: str, version: str) -> None:
    judged = 0
    for manifest in Manifests.parse(render(folder)).every:
        which = (manifest["apiVersion"], manifest["kind"])
        if which in custom.FIELDS:
            continue
        kubernetes_validate.validate(manifest, version, strict=True)
        judged += 1
    assert judged > 25


@pytest.mark.parametrize("folder", FOLDERS)
def test_custom_resources_have_the_fields_that_were_looked_up(render: Render, folder: str) -> None:
    for manifest in Manifests.parse(render(folder)).every:
        known = custom.FIELDS.get((manifest["apiVersion"], manifest["kind"]))
        if known is not None:
            assert list(custom.unknown(manifest["spec"], known)) == [], manifest["metadata"]["name"]


def test_every_kind_of_custom_resource_is_used(render: Render) -> None:
    rendered = Manifests.parse(render("overlays/production")).every
    assert custom.FIELDS.keys() <= {(each["apiVersion"], each["kind"]) for each in rendered}


def test_the_schemas_refuse_what_is_wrong(render: Render) -> None:
    text = render("overlays/production")
    for kind, right, wrong in (
        ("HorizontalPodAutoscaler", "minReplicas: 2", "minReplicas: two"),
        ("Deployment", "containerPort: 8000", "containerport: 8000"),
    ):
        assert right in text
        broken = Manifests.parse(text.replace(right, wrong)).of(kind)[0]
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, SUPPORTED[0], strict=True)
    [cluster] = Manifests.parse(text.replace("dataDurability", "durability")).of("Cluster")
    known = custom.FIELDS["postgresql.cnpg.io/v1", "Cluster"]
    assert list(custom.unknown(cluster["spec"], known)) == ["spec.postgresql.synchronous.durability is not known"]


def test_every_file_is_part_of_something() -> None:
    """One that no kustomization names is rendered by nobody, and checked by nobody."""
    named = "".join(file.read_text(encoding="utf-8") for file in FOLDER.rglob("kustomization.yaml"))
    by_themselves = {"kustomization.yaml", "prometheus-adapter.yaml"}
    files = [file for file in FOLDER.rglob("*") if file.suffix in {".yaml", ".env"} and file.name not in by_themselves]
    assert len(files) > 20
    assert [str(file.relative_to(BASE_DIR)) for file in files if file.name not in named] == []


def test_the_page_names_what_is_supported_and_every_secret_that_is_wanted() -> None:
    page = (BASE_DIR / "docs/kubernetes.md").read_text(encoding="utf-8")
    assert f"Kubernetes {SUPPORTED[0]} to {SUPPORTED[-1]}" in page
    secrets = set(re.findall(r"(?m)^\| `(notifier-[a-z-]+)` \|", page))
    assert secrets == references.BY_HAND | references.ENGINES.keys()
