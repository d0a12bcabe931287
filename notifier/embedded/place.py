"""Where the cluster and its socket are, and whether both are private."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
import tempfile
from pathlib import Path

from notifier.embedded.account import Account
from notifier.embedded.errors import EmbeddedError

DATABASE = "notifier"
OWNER = "notifier"
PORT = "5432"  # only a part of the socket's name
_LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107  # bytes in sockaddr_un, without the closing zero
ROOTS_OWN = Path("/var/lib/notifier")  # for root, what another user must reach and cannot reach in DATA_DIR


def connection(data_dir: Path) -> dict[str, object]:
    """Django's database settings for the embedded server of this folder; it need not run yet.

    Raises: EmbeddedError where the socket's folder is not private: then somebody else may be listening.
    """
    return {
        "NAME": DATABASE,
        "USER": OWNER,
        "PASSWORD": "",
        "HOST": str(socket_folder(data_dir)),
        "PORT": PORT,
    }


def home(data_dir: Path) -> Path:
    """The folder of the cluster, its socket and its log."""
    return (data_dir / "postgres").resolve()


def cluster(data_dir: Path) -> Path:
    return home(data_dir) / "cluster"


def socket_folder(data_dir: Path) -> Path:
    """Where clients find the socket: beside the cluster, or where the last start recorded it.

    Raises: EmbeddedError where it is not private.
    """
    try:
        folder = _recorded(data_dir) or home(data_dir) / "socket"
        private = _private(folder, data_dir)
    except FileNotFoundError:
        return folder  # the server is not running
    except PermissionError as error:
        raise EmbeddedError(f"{error.filename} belongs to another user: set DATA_DIR to a folder of yours.") from None
    if not private:
        raise EmbeddedError(
            f"{folder}, where the database's socket should be, is not a private folder of this user: "
            "whatever listens there is not our Postgres. Remove it and start again."
        )
    return folder


def make_socket_folder(data_dir: Path, account: Account) -> Path:
    """Raises: EmbeddedError where no folder has a path short enough for a socket."""
    forget_socket_folder(data_dir)
    folder = home(data_dir) / "socket"
    if _usable(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
    else:
        folder = _temporary_folder()
        _record(data_dir).write_text(f"{folder}\n", encoding="utf-8")
    folder.chmod(0o700)
    account.own(folder)
    return folder


def forget_socket_folder(data_dir: Path) -> None:
    """Remove the temporary socket folder of an earlier start, if there was one and it is still ours."""
    folder = _recorded(data_dir)
    if folder is None:
        return
    _record(data_dir).unlink()
    with contextlib.suppress(OSError):
        if _private(folder, data_dir):
            for left in folder.glob(".s.PGSQL.*"):
                left.unlink()
            folder.rmdir()


def make_home(data_dir: Path, account: Account) -> Path:
    """A folder for a new cluster that only `account` can pass; outside DATA_DIR where it cannot enter that.

    Raises: EmbeddedError.
    """
    own = data_dir / "postgres"
    if own.is_symlink() and not own.exists():
        raise EmbeddedError(
            f"{own} points to {own.readlink()}, which is gone: put it back, or remove the link to start anew."
        )
    own.mkdir(mode=0o700, exist_ok=True)
    _let_pass(own, account)
    if account.can_enter(own):
        return own.resolve()
    if own.is_symlink() or any(own.iterdir()):
        raise EmbeddedError(f"{own} cannot be entered by user id {account.uid}, under which Postgres runs.")
    elsewhere = roots_own() / secrets.token_hex(8)
    elsewhere.mkdir(mode=0o700)
    _let_pass(elsewhere, account)
    if not account.can_enter(elsewhere):
        elsewhere.rmdir()
        raise EmbeddedError(
            f"Postgres refuses to run as root, and user id {account.uid} can enter neither {data_dir} nor "
            f"{ROOTS_OWN}: set DATA_DIR to a folder that other users may pass through."
        )
    own.rmdir()
    own.symlink_to(elsewhere)
    sys.stderr.write(
        f"postgres: only root can enter {data_dir}, and Postgres refuses to run as root: "
        f"the database is kept in {elsewhere}\n"
    )
    return elsewhere


def roots_own() -> Path:
    """Raises: EmbeddedError where the folder cannot be had, or somebody else could write to it."""
    try:
        if not ROOTS_OWN.exists():
            ROOTS_OWN.mkdir(parents=True)
            ROOTS_OWN.chmod(0o711)
        found = ROOTS_OWN.lstat()
    except OSError as error:
        raise EmbeddedError(f"{ROOTS_OWN} cannot be made ({error.strerror}): set DATABASE_URL.") from error
    if found.st_uid != 0 or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise EmbeddedError(f"{ROOTS_OWN} is not a folder that only root can write to: mend or remove it.")
    return ROOTS_OWN


def _let_pass(folder: Path, account: Account) -> None:
    if account.gid is not None:
        os.chown(folder, 0, account.gid)
        folder.chmod(0o710)


def _temporary_folder() -> Path:
    for parent in dict.fromkeys((tempfile.gettempdir(), "/tmp")):  # noqa: S108 (mkdtemp makes it private)
        folder = Path(tempfile.mkdtemp(prefix="notifier-", dir=parent))
        if _usable(folder):
            return folder
        folder.rmdir()
    raise EmbeddedError("No folder has a path short enough for a socket: set TMPDIR or DATA_DIR to a shorter one.")


def _usable(folder: Path) -> bool:
    # libpq takes a comma in a host for a list of hosts.
    path = os.fsencode(folder / f".s.PGSQL.{PORT}")
    return len(path) <= _LONGEST_SOCKET and b"," not in path


def _record(data_dir: Path) -> Path:
    return data_dir / "postgres.socket-folder"


def _recorded(data_dir: Path) -> Path | None:
    try:
        return Path(_record(data_dir).read_text(encoding="utf-8").rstrip("\n"))
    except FileNotFoundError:
        return None


def _private(folder: Path, data_dir: Path) -> bool:
    found = folder.lstat()
    owners = {os.geteuid()}
    if os.geteuid() == 0 and cluster(data_dir).exists():
        owners.add(cluster(data_dir).stat().st_uid)
    return stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077 and found.st_uid in owners
