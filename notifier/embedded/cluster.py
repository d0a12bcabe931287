"""The files of the database: made whole or not at all, and served by one server at a time."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path

from notifier import lifeline
from notifier.embedded import account as accounts
from notifier.embedded import binaries, place
from notifier.embedded.account import Account
from notifier.embedded.errors import EmbeddedError

# A server told to stop writes everything down first, on a slow disk too.
STOP_TIMEOUT = 30.0
HALF = "cluster.new."  # the beginning of the name of one that is being made


def environment() -> dict[str, str]:
    """What Postgres' programs get of our environment: no secrets, and no PGDATA that would mislead them."""
    # Postgres believes a stale pid file that names its parent or grandparent to be stale.
    return {"LC_ALL": "C", "PATH": os.defpath, "PG_GRANDPARENT_PID": str(os.getppid())}


def demand_version(cluster: Path) -> None:
    """Raises: EmbeddedError where another major version wrote the cluster."""
    version = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    if version != binaries.MAJOR:
        raise EmbeddedError(
            f"{cluster} was written by Postgres {version}, and this is Postgres {binaries.MAJOR}: "
            "dump it with the old version and load it here, or move the folder away to start anew."
        )


def make(cluster: Path, account: Account, programs: Path, *, durable: bool) -> None:
    """Make a cluster with the application's database.

    Raises: EmbeddedError.
    """
    # Made beside its place and renamed when whole: a start killed half-way leaves nothing to stumble over.
    # Each start has a folder of its own: the killed one's initdb may still be clearing its own away.
    for abandoned in cluster.parent.glob(f"{HALF}*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    half = Path(tempfile.mkdtemp(prefix=HALF, dir=cluster.parent))
    maker = accounts.maker(account)
    maker.own(half)
    _run(
        [
            *(programs / "initdb", "-D", half, "-U", place.OWNER, "-A", "trust", "-E", "UTF8"),
            # Built in, so that no index depends on what the C library thinks of an order.
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *(() if durable else ("--no-sync",)),
        ],
        maker,
    )
    statement = f"CREATE DATABASE {place.DATABASE};\n"
    _run([programs / "postgres", "--single", "-D", half, "postgres"], maker, statement)
    account.own(half)
    half.rename(cluster)


def ready(cluster: Path, pid: int) -> bool:
    """Whether the server `pid` takes connections, by its own word."""
    lines = _pid_file(cluster)
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"


def end_stale_server(cluster: Path) -> None:
    """Stop a server whose starter is dead: on Linux the kernel has told it to stop, elsewhere nobody has.

    Raises: EmbeddedError where it does not stop.
    """
    lines = _pid_file(cluster)
    if not lines or not lines[0].isdigit():
        return
    pid = int(lines[0])
    deadline = time.monotonic() + STOP_TIMEOUT
    if _serves(pid, cluster):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    while _serves(pid, cluster):
        if time.monotonic() > deadline:
            raise EmbeddedError(f"An earlier Postgres (pid {pid}) still runs in {cluster}: end it.")
        time.sleep(0.02)


def _pid_file(cluster: Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _serves(pid: int, cluster: Path) -> bool:
    # After a crash the number may be another program's by now: a server works in its cluster's folder.
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cwd").readlink() == cluster
    if Path("/proc/self/cwd").is_symlink():
        return False
    listed = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return str(cluster) in listed.stdout


def _run(command: list[str | Path], account: Account, given: str = "") -> None:
    done = subprocess.run(  # noqa: S603
        command,
        input=given.encode(),
        capture_output=True,
        cwd="/",
        env=environment(),
        check=False,
        preexec_fn=partial(lifeline.end_with_parent, signal.SIGTERM, parent=os.getpid()),
        **account.arguments(),
    )
    if done.returncode != 0:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise EmbeddedError(f"The database could not be made. {Path(command[0]).name} says:\n{words}")
