"""Under which user the server runs: ours, or, because Postgres refuses root, one that nobody else has."""

from __future__ import annotations

import hashlib
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from notifier.embedded.errors import EmbeddedError

# Where systemd takes the ids of its short-lived users from: no distribution gives them to people or packages.
_UNUSED = range(61184, 65520)


@dataclass(frozen=True, slots=True)
class Account:
    """A user and group to run programs under; both None for our own."""

    uid: int | None = None
    gid: int | None = None

    def arguments(self) -> dict[str, Any]:
        """The arguments of `subprocess` that start a program under this account."""
        if self.uid is None:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, path: Path) -> None:
        """Give a file, or a folder and all below it, to this account; links are not followed."""
        if self.uid is None or self.gid is None:
            return
        os.lchown(path, self.uid, self.gid)
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.lchown(Path(folder, name), self.uid, self.gid)

    def can(self, command: Sequence[str]) -> bool:
        """Whether a program succeeds under this account."""
        try:
            done = subprocess.run(  # noqa: S603
                command, cwd="/", capture_output=True, env={"LC_ALL": "C"}, check=False, **self.arguments()
            )
        except (OSError, ValueError):
            return False
        return done.returncode == 0

    def can_enter(self, folder: Path) -> bool:
        return self.can(["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)])


def of_cluster(cluster: Path) -> Account:
    """The account that an existing cluster belongs to."""
    if os.geteuid() != 0:
        return Account()
    found = cluster.stat()
    return Account(found.st_uid, found.st_gid)


def for_new_cluster(data_dir: Path) -> Account:
    """Our own account; for root an id that no user of this machine has, always the same for one folder.

    Raises: EmbeddedError where root may not become anybody else.
    """
    if os.geteuid() != 0:
        return Account()
    for number in islice(_candidates(data_dir), 5):
        account = Account(number, number)
        if account.can(["/bin/sh", "-c", ":"]):
            return account
    # A container that knows a few ids only.
    shared = _maker(None)
    sys.stderr.write(
        f"postgres: there is no spare user id here, so the database belongs to user id {shared.uid}: "
        "whatever else runs under that id can reach it\n"
    )
    return shared


def maker(account: Account) -> Account:
    """Who makes the files of a new cluster: `initdb` wants a named user, so `nobody` in the account's group.

    Raises: EmbeddedError where no such user can be had.
    """
    if account.uid is None:
        if not _name(os.geteuid()):
            raise EmbeddedError(
                f"Postgres needs a user with a name, and user id {os.geteuid()} has none: "
                "add it to /etc/passwd, or set DATABASE_URL."
            )
        return account
    return account if _name(account.uid) else _maker(account.gid)


def _maker(gid: int | None) -> Account:
    named = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    for name in dict.fromkeys(("nobody", "daemon", "bin", *named)):
        if name in named:
            account = Account(named[name].pw_uid, named[name].pw_gid if gid is None else gid)
            if account.can(["/bin/sh", "-c", ":"]):
                return account
    raise EmbeddedError(
        "Postgres refuses to run as root, and root may not become another user here: "
        "start as an ordinary user, or set DATABASE_URL."
    )


def _candidates(data_dir: Path) -> Iterator[int]:
    """The ids to try: from one that the folder's name picks, then the highest that this container knows."""
    first = int.from_bytes(hashlib.sha256(os.fsencode(data_dir)).digest()[:4], "big")
    mapped = _mapped()
    preferred = (_UNUSED[(first + offset) % len(_UNUSED)] for offset in range(len(_UNUSED)))
    highest = (number for span in mapped for number in reversed(span) if 0 < number < _UNUSED.start)
    for number in chain(preferred, highest):
        if any(number in span for span in mapped) and not _name(number):
            yield number


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def _mapped() -> list[range]:
    """The user ids that exist in this container."""
    try:
        lines = Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines()
    except OSError:
        return [range(2**31)]
    starts_and_lengths = [(int(line.split()[0]), int(line.split()[2])) for line in lines]
    return [range(start, start + length) for start, length in starts_and_lengths]
