"""The server as a foreground child: made at the first start, stopped with its parent, however that ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO

from notifier import lifeline
from notifier.embedded import account as accounts
from notifier.embedded import binaries, cluster, place
from notifier.embedded.errors import EmbeddedError

# A crash leaves at most max_wal_size (1 GB) to replay: seconds here, and minutes on a slow disk.
_START_TIMEOUT = 300.0
# A holder that was killed a moment ago keeps its lock until the kernel has cleared it away.
_LOCK_PATIENCE = 1.0

_ALWAYS = {
    "listen_addresses": "",  # never a network address
    "unix_socket_permissions": "0700",
    "max_connections": "200",  # web threads and worker pools at the largest sensible settings
    "timezone": "UTC",
    "log_timezone": "UTC",
    # The server's own events ("log" ranks above "error"). Errors are the caller's to log: their statements
    # and details hold recipients' addresses.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}


class Server:
    """The Postgres of one data folder, which ends with the process that started it."""

    def __init__(self, data_dir: Path, settings: Mapping[str, str] | None = None) -> None:
        """`settings` are Postgres' own, by name; `fsync=off` hurries the making of a new cluster, too."""
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

    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def last_words(self) -> str:
        """The end of what the server wrote since its last start."""
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])

    def start(self, give_up: Callable[[], bool] = lambda: False) -> None:
        """Return when the server takes connections, or, without a server, soon after `give_up()` is true.

        Raises: EmbeddedError where it runs already or cannot run, or another major version wrote the cluster.
        """
        if threading.current_thread() is not threading.main_thread():
            # On Linux a child with a lifeline ends with the thread that started it.
            raise EmbeddedError("The embedded Postgres must be started from the main thread.")
        self._lock = _locked(self._data_dir)
        try:
            files = self._prepare()
            if not self._await_ready(files, give_up):
                self.stop()
        except (OSError, subprocess.SubprocessError) as error:
            self.stop()
            raise EmbeddedError(
                f"The embedded Postgres cannot be set up in {self._data_dir} ({error}): "
                "set DATA_DIR to another folder, or set DATABASE_URL."
            ) from error
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

    @property
    def _log(self) -> Path:
        return place.home(self._data_dir) / "log"

    def _prepare(self) -> Path:
        files = place.cluster(self._data_dir)
        if (files / "PG_VERSION").exists():
            cluster.demand_version(files)
            account = accounts.of_cluster(files)
            programs = binaries.found(account)
            cluster.end_stale_server(files)
        else:
            account = accounts.for_new_cluster(self._data_dir)
            programs = binaries.found(account)
            files = place.make_home(self._data_dir, account) / "cluster"
            cluster.make(files, account, programs, durable=self._settings.get("fsync") != "off")
        self._launch(programs / "postgres", files, account)
        return files

    def _launch(self, program: Path, files: Path, account: accounts.Account) -> None:
        sockets = str(place.make_socket_folder(self._data_dir, account)).replace('"', '""')
        settings = {**self._settings, "unix_socket_directories": f'"{sockets}"', "port": place.PORT}
        with self._log.open("wb") as log:
            self._log.chmod(0o600)
            account.own(self._log)
            self._child = subprocess.Popen(  # noqa: S603
                [program, "-D", files, *(f"--{name}={value}" for name, value in settings.items())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                env={**cluster.environment(), "DATA_DIR": str(self._data_dir)},
                start_new_session=True,  # the terminal's Ctrl-C is for our parent, which stops us last
                preexec_fn=partial(lifeline.end_with_parent, signal.SIGINT, parent=os.getpid()),
                **account.arguments(),
            )

    def _await_ready(self, files: Path, give_up: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + _START_TIMEOUT
        while time.monotonic() < deadline:
            if not self.alive():
                raise EmbeddedError(f"Postgres ended at its start. Its last words:\n{self.last_words()}")
            if cluster.ready(files, self.pid):
                return True
            if give_up():
                return False
            time.sleep(0.01)
        raise EmbeddedError(
            f"Postgres took no connections for {_START_TIMEOUT:.0f} s. Its last words:\n{self.last_words()}"
        )


def running(data_dir: Path) -> int | None:
    """The process id of whoever runs the server of this folder; None where nobody does."""
    with (
        contextlib.suppress(OSError, ValueError),
        (data_dir / "postgres.lock").open(encoding="ascii") as file,
    ):
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(file.read())
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
            f"{path} cannot be opened ({error.strerror}): set DATA_DIR to a folder of this user."
        ) from error
    deadline = time.monotonic() + _LOCK_PATIENCE
    while not _taken(file):
        if time.monotonic() > deadline:
            with file:
                pid = file.read()
            raise EmbeddedError(f"The service of {data_dir} is already running (pid {pid}).")
        time.sleep(0.02)
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _taken(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end(child: subprocess.Popen[bytes]) -> None:
    # SIGINT ends sessions; SIGTERM would wait for them. SIGQUIT leaves the rest to the next start's recovery.
    for number, patience in (
        (signal.SIGINT, cluster.STOP_TIMEOUT),
        (signal.SIGQUIT, 5.0),
        (signal.SIGKILL, None),
    ):
        if child.poll() is not None:
            return
        child.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(patience)
            return
