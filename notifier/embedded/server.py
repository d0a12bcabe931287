"""The server as a foreground child: made at the first start, stopped with its parent, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO

from notifier import lifeline
from notifier.embedded import account as accounts
from notifier.embedded import binaries, place
from notifier.embedded.errors import EmbeddedError

# A crash leaves at most max_wal_size (1 GB) to replay, which took seconds here and may take minutes on a slow disk.
_START_TIMEOUT = 300.0
# Fast shutdown ends sessions and writes a checkpoint: hundredths of a second idle, longer with a slow disk.
_STOP_TIMEOUT = 30.0

_ALWAYS = {
    "listen_addresses": "",  # never a network address
    "unix_socket_permissions": "0700",
    "max_connections": "200",  # web threads and worker pools at the largest sensible settings
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_min_messages": "warning",
    # Errors are for the caller. Statements and details hold recipients' addresses: they stay out of the log.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class Server:
    """The Postgres of one data folder. Start it from the main thread: on Linux it ends with the thread that started it."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are Postgres' own, by name; `fsync=off` also hurries the making of a new cluster."""
        self._data_dir = data_dir.absolute()
        self._settings = {**_ALWAYS, **(settings or {})}
        self._child: subprocess.Popen[bytes] | None = None
        self._lock: IO[str] | None = None

    @property
    def pid(self) -> int:
        """Raises: EmbeddedError where the server was not started."""
        if self._child is None:
            raise EmbeddedError("The embedded Postgres was not started.")
        return self._child.pid

    @property
    def log(self) -> Path:
        """What the server last wrote; begun anew at every start."""
        return place.home(self._data_dir) / "log"

    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        """Return when the server takes connections and the database exists.

        Raises: EmbeddedError where it runs already, cannot run, or the cluster is of another major version.
        """
        if threading.current_thread() is not threading.main_thread():
            raise EmbeddedError(
                "Start the embedded Postgres from the main thread: it ends with the thread that started it."
            )
        self._lock = _locked(self._data_dir)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End sessions, write everything down and end; safe to repeat."""
        if self._child is not None:
            _end(self._child)
            self._child = None
            place.forget_socket_folder(self._data_dir)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        cluster = place.cluster(self._data_dir)
        if (cluster / "PG_VERSION").exists():
            _demand_version(cluster)
            account = accounts.of_cluster(cluster)
            programs = binaries.found(account)
            _end_stale(cluster)
        else:
            account = accounts.for_new_cluster(self._data_dir)
            programs = binaries.found(account)
            cluster = place.make_home(self._data_dir, account) / "cluster"
            _make_cluster(cluster, account, programs, durable=self._settings.get("fsync") != "off")
        sockets = place.make_socket_folder(self._data_dir, account)
        quoted = str(sockets).replace('"', '""')
        settings = {**self._settings, "unix_socket_directories": f'"{quoted}"', "port": place.PORT}
        with self.log.open("wb") as log:
            self.log.chmod(0o600)
            self._child = subprocess.Popen(  # noqa: S603
                [
                    programs / "postgres",
                    "-D",
                    cluster,
                    *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env=_environment(self._data_dir),
                start_new_session=True,  # the terminal's Ctrl-C is for our parent, which stops us last
                preexec_fn=partial(lifeline.end_with_parent, signal.SIGINT, parent=os.getpid()),  # noqa: PLW1509
                **account.arguments(),
            )
        self._await_ready(cluster)

    def _await_ready(self, cluster: Path) -> None:
        assert self._child is not None
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            if self._child.poll() is not None:
                raise EmbeddedError(f"Postgres ended at its start. Its last words:\n{self._last_words()}")
            # The last line of this file is the server's own word, which pg_ctl waits for too.
            lines = _pid_file(cluster)
            if len(lines) >= 8 and lines[0] == str(self._child.pid) and lines[7].strip() == "ready":
                return
            time.sleep(0.01)
        raise EmbeddedError(
            f"Postgres took no connections for {_START_TIMEOUT:.0f} s. Its last words:\n{self._last_words()}"
        )

    def _last_words(self) -> str:
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])


def running(data_dir: Path) -> int | None:
    """The process id of whoever runs the server of this folder; None where nobody does."""
    try:
        with (data_dir / "postgres.lock").open(encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(file.read() or 0)
    except OSError:
        pass
    return None


def _locked(data_dir: Path) -> IO[str]:
    path = data_dir / "postgres.lock"
    try:
        if not data_dir.is_dir():
            data_dir.mkdir(parents=True)
            data_dir.chmod(0o711)  # the server's own user passes through
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+", encoding="ascii")
    except OSError as error:
        raise EmbeddedError(
            f"{path} cannot be opened ({error.strerror}): give DATA_DIR a folder that this user may write."
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = file.read() or "unknown"
        file.close()
        raise EmbeddedError(f"The service of {data_dir} is already running (pid {pid}).") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _demand_version(cluster: Path) -> None:
    version = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    if version != binaries.MAJOR:
        raise EmbeddedError(
            f"{cluster} was written by Postgres {version}, and this is Postgres {binaries.MAJOR}: "
            "dump it with the old version and load it here, or move the folder away to start anew."
        )


def _make_cluster(cluster: Path, account: accounts.Account, programs: Path, *, durable: bool) -> None:
    # Made beside its place and renamed when whole: a start that was killed half-way leaves nothing to trip over.
    half = cluster.with_name("cluster.new")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    maker = accounts.maker(account)
    maker.own(half)
    _run(
        [
            *(programs / "initdb", "-D", half, "-U", place.OWNER, "-A", "trust", "-E", "UTF8"),
            # Built in, so that an index never depends on the C library's idea of an order.
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *(() if durable else ("--no-sync",)),
        ],
        maker,
    )
    statement = f"CREATE DATABASE {place.DATABASE};\n"
    _run([programs / "postgres", "--single", "-D", half, "postgres"], maker, statement)
    account.own(half)
    half.rename(cluster)


def _run(command: list[str | Path], account: accounts.Account, given: str = "") -> None:
    done = subprocess.run(  # noqa: S603
        command,
        input=given.encode(),
        capture_output=True,
        cwd="/",
        env=_environment(None),
        check=False,
        **account.arguments(),
    )
    if done.returncode != 0:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise EmbeddedError(f"The database could not be made. {Path(command[0]).name} says:\n{words}")


def _environment(data_dir: Path | None) -> dict[str, str]:
    # Nothing of ours: neither secrets nor a PGDATA or PGOPTIONS that would change what the server does.
    return {
        "LC_ALL": "C",
        "PATH": os.defpath,
        # A stale pid file that names our own parent is known as stale.
        "PG_GRANDPARENT_PID": str(os.getppid()),
        **({"DATA_DIR": str(data_dir)} if data_dir else {}),
    }


def _pid_file(cluster: Path) -> list[str]:
    try:
        return (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []


def _end_stale(cluster: Path) -> None:
    # Whoever started it is dead (we hold the lock). On Linux the kernel has told it to end; elsewhere nobody has.
    lines = _pid_file(cluster)
    if not lines or not lines[0].isdigit() or not _is_server(int(lines[0]), cluster):
        return
    pid = int(lines[0])
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + _STOP_TIMEOUT
    while _is_server(pid, cluster):
        if time.monotonic() > deadline:
            raise EmbeddedError(
                f"An earlier Postgres (pid {pid}) still runs in {cluster} and does not stop: end it."
            )
        time.sleep(0.02)


def _is_server(pid: int, cluster: Path) -> bool:
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/cwd").readlink() == cluster
        except OSError:
            return False
    told = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
    )  # noqa: S603, S607
    return str(cluster) in told.stdout


def _end(child: subprocess.Popen[bytes]) -> None:
    for number, patience in ((signal.SIGINT, _STOP_TIMEOUT), (signal.SIGQUIT, 5.0), (signal.SIGKILL, None)):
        if child.poll() is not None:
            return
        child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
            return
