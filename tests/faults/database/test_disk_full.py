"""No space is left on the database's disk, and later there is again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import psycopg
import pytest

from .servers import Session, Template, short_folder
from .service import Service, events

pytestmark = pytest.mark.timeout(300)  # a bound for a machine that is busy; each has its own deadlines

ServiceOn = Callable[[str], AbstractContextManager[Service]]

SIZE = "256m"  # some 80 MB of it are a new cluster's
PIECE = b"\0" * 65536


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A disk of its own, in memory."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk of its own")
    with short_folder() as folder:
        disk = folder / "disk"
        disk.mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0711", "tmpfs", str(disk)],
            capture_output=True,
            text=True,
            check=False,
        )
        if mounted.returncode != 0:
            pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
        try:
            yield disk
        finally:
            subprocess.run(["umount", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Somebody else's file, which takes all that is left."""
    filler = disk / "filler"

    def write_on() -> None:
        with filler.open("wb", buffering=0) as file:
            while True:
                file.write(PIECE)

    with pytest.raises(OSError, match="No space left"):
        write_on()
    return filler


def test_a_full_disk_refuses_and_loses_nothing(template: Template, service_on: ServiceOn, small_disk: Path) -> None:
    # Little WAL is kept ahead, and none of it is written often: what cannot grow is a table, as on most full disks.
    settings = {"min_wal_size": "32MB", "max_wal_size": "64MB"}
    with template.server(within=small_disk, **settings) as server, service_on(server.url) as service:
        service.start()
        with service.load(rate=100):
            service.until_more_are_received(20)
            filler = fill(small_disk)
            service.until_refused(10)
            filler.unlink()
            free = service.log.now()
            delivering = service.until_more_are_received(50)
        found = service.check()

        print(f"{len(service.refused())} refused, 50 sent {delivering:.2f} s after there was space again")
        print(f"{found.acknowledged} acknowledged, {len(found.doubled)} doubled, all marked")
        assert not service.refused(since=free + 1)
        assert delivering < 10
        assert events(service.running[1], "lease.lost") == 0


@pytest.mark.slow
def test_a_server_that_cannot_write_its_log_ends_and_loses_nothing(
    template: Template, service_on: ServiceOn, small_disk: Path
) -> None:
    settings = {"min_wal_size": "32MB", "max_wal_size": "64MB"}
    with template.server(within=small_disk, **settings) as server, service_on(server.url) as service:
        service.start()
        with service.load():
            service.until_more_are_received(20)
            with server.connect() as operator:
                filler = fill(small_disk)
                with pytest.raises(psycopg.OperationalError):
                    use_up_the_log(operator)
            service.until_refused(10)
            filler.unlink()
            server.start_again()
            delivering = service.until_more_are_received(20)
        found = service.check()

        print(f"20 sent {delivering:.2f} s after the server was back; {len(found.doubled)} doubled, all marked")
        assert delivering < 10


def use_up_the_log(operator: Session) -> None:
    while True:
        operator.execute("SELECT pg_logical_emit_message(true, 'a test', 'something to write')")
        operator.execute("SELECT pg_switch_wal()")
