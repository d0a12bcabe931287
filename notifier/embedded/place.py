"""Where the cluster and its socket are, and whether both are private."""

from __future__ import annotations

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
ROOTS_OWN = Path("/var/lib/notifier")  # root's clusters and programs that lie where no other user can enter


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
    folder = home(data_dir) / "socket"
    if not _usable(folder):
        try:
            folder = Path(_record(data_dir).read_text(encoding="utf-8").rstrip("\n"))
        except FileNotFoundError:
            return folder
    _demand_private(folder, data_dir)
    return folder


def make_socket_folder(data_dir: Path, account: Account) -> Path:
    """Raises: EmbeddedError."""
    folder = home(data_dir) / "socket"
    if _usable(folder):
        folder.mkdir(mode=0o700, exist_ok=True)
    else:
        forget_socket_folder(data_dir)
        for temporary in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 (mkdtemp makes it private)
            folder = Path(tempfile.mkdtemp(prefix="notifier-", dir=temporary))
            if _usable(folder):
                break
            folder.rmdir()
        _record(data_dir).write_text(f"{folder}\n", encoding="utf-8")
    account.own(folder)
    folder.chmod(0o700)
    return folder


def forget_socket_folder(data_dir: Path) -> None:
    """Remove the temporary socket folder of an earlier start, if there was one."""
    record = _record(data_dir)
    if not record.exists():
        return
    folder = Path(record.read_text(encoding="utf-8").rstrip("\n"))
    record.unlink()
    if folder.is_dir() and not folder.is_symlink():
        for left in folder.glob(".s.PGSQL.*"):
            left.unlink()
        folder.rmdir()


def make_home(data_dir: Path, account: Account) -> Path:
    """A folder for a new cluster that only `account` can pass; elsewhere for root if DATA_DIR is closed to others.

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
    elsewhere = ROOTS_OWN / secrets.token_hex(8)
    roots_own()
    elsewhere.mkdir(mode=0o700)
    _let_pass(elsewhere, account)
    if not account.can_enter(elsewhere):
        elsewhere.rmdir()
        raise EmbeddedError(
            f"Postgres refuses to run as root, and user id {account.uid} can enter neither {own} nor {ROOTS_OWN}: "
            "set DATA_DIR to a folder that others may pass through."
        )
    own.rmdir()
    own.symlink_to(elsewhere)
    print(
        f"postgres: only root can enter {data_dir}, and Postgres refuses root: the database is kept in {elsewhere}",
        file=sys.stderr,
    )
    return elsewhere


def roots_own() -> Path:
    """Raises: EmbeddedError."""
    try:
        ROOTS_OWN.mkdir(mode=0o711, parents=True, exist_ok=True)
        found = ROOTS_OWN.lstat()
    except OSError as error:
        raise EmbeddedError(f"{ROOTS_OWN} cannot be made ({error.strerror}): set DATABASE_URL.") from error
    if found.st_uid != 0 or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise EmbeddedError(f"{ROOTS_OWN} is not a folder that only root can write: mend or remove it.")
    ROOTS_OWN.chmod(0o711)
    return ROOTS_OWN


def _let_pass(folder: Path, account: Account) -> None:
    if account.gid is not None:
        os.chown(folder, 0, account.gid)
        folder.chmod(0o710)


def _usable(folder: Path) -> bool:
    # libpq takes a comma in a host for a list of hosts.
    path = os.fsencode(folder / f".s.PGSQL.{PORT}")
    return len(path) <= _LONGEST_SOCKET and b"," not in path


def _record(data_dir: Path) -> Path:
    return data_dir / "postgres.socket-folder"


def _demand_private(folder: Path, data_dir: Path) -> None:
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return  # the server is not running
    owners = {os.geteuid()}
    if os.geteuid() == 0:
        owners.add(cluster(data_dir).stat().st_uid)
    if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077 or found.st_uid not in owners:
        raise EmbeddedError(
            f"{folder}, where the database's socket should be, is not a private folder of this user: "
            "whatever listens there is not our Postgres. Remove it and start again."
        )
