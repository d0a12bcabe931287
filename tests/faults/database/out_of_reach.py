"""A database whose packets vanish, in a network of this process's own; prints what its connections noticed, as JSON.

To be run by `unshare --net`: there is no network but a loopback, and nobody else's packets are lost.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from time import monotonic
from typing import Final

from notifier.embedded import place
from tests.eventually import eventually

WAITED_FOR: Final = 30.0  # seconds
STATEMENTS: Final = {"an answer is waited for": "SELECT pg_sleep(60)", "a statement is sent": "SELECT 1"}


def configure() -> None:
    """As a worker has it, on a server that is reached by TCP."""
    os.environ["NOTIFIER_ROLE"] = "worker"
    os.environ["DATABASE_URL"] = f"postgresql://{place.OWNER}@127.0.0.1:{place.PORT}/{place.DATABASE}"
    os.environ["DJANGO_SETTINGS_MODULE"] = "notifier.settings"
    import django

    django.setup()


def lose_packets() -> None:
    for end in ("--dport", "--sport"):
        rule = ("-A", "INPUT", "-i", "lo", "-p", "tcp", end, str(place.PORT), "-j", "DROP")
        subprocess.run(["iptables", *rule], check=True)


def main(folder: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    configure()
    from django.db import OperationalError, connection

    from tests.faults.database.servers import Postgres

    noticed: dict[str, float] = {}
    ready, lost = threading.Barrier(len(STATEMENTS) + 1), threading.Event()

    def ask(what: str, sql: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            ready.wait(WAITED_FOR)
            if sql == "SELECT 1":
                lost.wait(WAITED_FOR)
            began = monotonic()
            try:
                cursor.execute(sql)
            except OperationalError:
                noticed[what] = round(monotonic() - began, 1)

    server = Postgres(folder, {"listen_addresses": "127.0.0.1"})
    server.start()
    try:
        threads = [threading.Thread(target=ask, args=each, daemon=True) for each in STATEMENTS.items()]
        for thread in threads:
            thread.start()
        ready.wait(WAITED_FOR)
        with server.connect() as operator:  # past the network
            asked = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%'"
            eventually(lambda: operator.execute(asked).fetchone(), what="a statement that is answered later")
        lose_packets()
        lost.set()
        for thread in threads:
            thread.join(WAITED_FOR)
    finally:
        server.kill()
    print(json.dumps(noticed), flush=True)
    os._exit(0)  # whatever still waits, waits for ever


if __name__ == "__main__":
    main(Path(sys.argv[1]))
