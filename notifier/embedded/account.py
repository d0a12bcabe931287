"""Under which user the server runs: ours, or, because Postgres refuses root, one that nobody else has."""

from __future__ import annotations

import hashlib
import os
import pwd
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
        """Give a file or folder to this account, and all below it; links are not followed."""
        if self.uid is None or self.gid is None:
            return
        os.lchown(path, self.uid, self.gid)
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.lchown(os.path.join(folder, name), self.uid, self.gid)  # noqa: PTH118 (thousands of files)

    def can(self, command: Sequence[str]) -> bool:
        """Whether a program succeeds under this account."""
        try:
            done = subprocess.run(  # noqa: S603
                command, cwd="/", capture_output=True, env={"LC_ALL": "C"}, check=False, **self.arguments()
            )
        except OSError:
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

    Raises: EmbeddedError where root may not become anybody else here.
    """
    if os.geteuid() != 0:
        return Account()
    first = int.from_bytes(hashlib.sha256(os.fsencode(data_dir)).digest()[:4], "big") % len(_UNUSED)
    usable = _mapped("/proc/self/uid_map"), _mapped("/proc/self/gid_map")
    for offset in range(len(_UNUSED)):
        number = _UNUSED[(first + offset) % len(_UNUSED)]
        if all(any(number in span for span in spans) for spans in usable) and not _has_name(number):
            return Account(number, number)
    stranger = maker(Account(0, 0))
    print(
        f"postgres: this container has no spare user id: the server runs as user id {stranger.uid}, "
        "and whatever else runs under it can reach the database",
        file=sys.stderr,
    )
    assert stranger.uid is not None
    return Account(stranger.uid, stranger.uid)


def maker(account: Account) -> Account:
    """Who makes the cluster's files: `initdb` wants a user with a name, so `nobody` in the account's group.

    Raises: EmbeddedError where no such user can be had.
    """
    if account.uid is None or (account.uid != 0 and _has_name(account.uid)):
        return account
    spans = _mapped("/proc/self/uid_map")
    by_name: Mapping[str, int] = {
        entry.pw_name: entry.pw_uid
        for entry in pwd.getpwall()
        if entry.pw_uid != 0 and any(entry.pw_uid in span for span in spans)
    }
    for name in ("nobody", "daemon", "bin", *by_name):
        if name in by_name:
            return Account(by_name[name], account.gid)
    raise EmbeddedError(
        "Postgres refuses to run as root, and no other user can be had here: "
        "start as an ordinary user, or set DATABASE_URL."
    )


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _mapped(table: str) -> list[range]:
    """The user (or group) ids that exist in this container."""
    try:
        lines = Path(table).read_text(encoding="ascii").splitlines()
    except OSError:
        return [range(2**32)]
    return [range(int(line.split()[0]), int(line.split()[0]) + int(line.split()[2])) for line in lines]
