"""One installation that is being upgraded: programs of two releases on one database."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import psutil
import requests

from tests.eventually import eventually
from tests.faults.clients import REQUESTS, Call, RetryingClient
from tests.faults.database.service import Service, healthy
from tests.ports import free_port
from tests.processes import BIN, ROOT, Running

CHANNELS: Final = tuple(REQUESTS)
STOPPED_WITHIN: Final = 30.0  # seconds, as containers have them


@dataclass(frozen=True, slots=True)
class Web:
    running: Running
    url: str


@dataclass(frozen=True, slots=True)
class Worker:
    running: Running
    id: UUID


class TwoReleases(Service):
    def start_both(self, root: Path = ROOT) -> tuple[Web, Worker]:
        """A web server and a worker of the code in `root`, at once; clients know of the web server from then on."""
        web, worker = self._begin_web(root), self._begin_worker(root)
        return web(), worker()

    def start_worker(self, root: Path = ROOT) -> Worker:
        return self._begin_worker(root)()

    def _begin_web(self, root: Path) -> Callable[[], Web]:
        port = free_port()
        running = self._start(
            [
                *(str(BIN / "granian"), "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port)),
                *("--workers", "1", "--blocking-threads", "8", "--no-ws", "notifier.wsgi:application"),
            ],
            root,
        )
        url = f"http://127.0.0.1:{port}"

        def ready() -> Web:
            eventually(lambda: healthy(url, running), seconds=30, what="the web server's answer")
            self.webs.append(url)
            return Web(running, url)

        return ready

    def _begin_worker(self, root: Path) -> Callable[[], Worker]:
        running = self._start(
            [
                *(str(BIN / "dramatiq"), "notifier.worker", "--processes", "1", "--threads", "8"),
                *("--worker-shutdown-timeout", "25000"),
            ],
            root,
        )
        parent = psutil.Process(running.popen.pid)

        def lease() -> UUID | None:
            assert running.popen.poll() is None, running.log
            pids = [child.pid for child in parent.children()]
            rows = self.query("SELECT id FROM worker WHERE pid = ANY(%s) ORDER BY started_at DESC", pids)
            return rows[0][0] if rows else None

        return lambda: Worker(running, eventually(lease, seconds=30, what="a worker's lease"))

    def end_web(self, web: Web) -> None:
        """As a balancer does it: first nobody is sent there any more, then it is asked to end."""
        self.webs.remove(web.url)
        self.until_more_are_accepted(16)  # more than there are clients: each has begun its next call elsewhere
        self._ask_to_end(web.running)

    def end_worker(self, worker: Worker, *, kill: bool = False) -> None:
        if not kill:
            self._ask_to_end(worker.running)
            return
        self.running.remove(worker.running)
        worker.running.end()

    def _ask_to_end(self, running: Running) -> None:
        self.running.remove(running)
        running.popen.send_signal(signal.SIGTERM)
        status = running.wait(STOPPED_WITHIN)
        assert status == 0, running.log
        assert "Traceback" not in running.log, running.log[-5000:]

    # --- who did what ------------------------------------------------------------------------------------

    def sender_of(self, id_: UUID) -> UUID | None:
        rows = self.query("SELECT worker_id FROM attempt WHERE notification_id = %s AND outcome = 'accepted'", id_)
        return rows[0][0] if rows else None

    def told(self, names: Mapping[object, str]) -> str:
        """What to say at the end. `names`: of addresses and of workers."""
        calls = self.log.calls
        ways = sorted((f"{names[web]} to {names[worker]} {count}") for (web, worker), count in self.ways().items())
        slowest = max(call.seconds for call in calls)
        return (
            f"{self.accepted()} of {len(calls)} calls answered with 202, the slowest in {slowest:.2f} s; "
            f"accepted and sent by: {', '.join(ways)}"
        )

    def ways(self) -> Counter[tuple[str, UUID]]:
        """How many were accepted by which web server (its address) and sent by which worker."""
        answered = [call for call in self.log.calls if call.status == 202 and not call.replayed]
        accepted = {UUID(json.loads(call.answer)["id"]): call.url for call in answered}
        sent = self.query("SELECT notification_id, worker_id FROM attempt WHERE outcome = 'accepted'")
        return Counter((accepted[id_], worker) for id_, worker in sent if id_ in accepted)

    def until_sent(self, web: Web, worker: Worker) -> None:
        """Until something that this web server accepted has been sent by this worker."""
        eventually(lambda: self.ways()[web.url, worker.id], seconds=40, what=f"accepted by {web}, sent by {worker}")

    def replayed(self, first: Web, second: Web, *, channel: str, **fields: object) -> tuple[Call, Call]:
        """One request posted to `first` and, under the same key, to `second`; both answers."""
        key = f"{channel} at {first.url} and again at {second.url}"
        return self.post(first, channel, key, **fields), self.post(second, channel, key, **fields)

    def post(self, web: Web, channel: str, key: str, **fields: object) -> Call:
        """Accepted by this web server; the call."""
        client = RetryingClient([web.url], self.api_key, self.log)
        self._ending.callback(client.close)
        call = client.post(channel, f"message {key}", key=key, fields=fields)
        assert call is not None, self.log.calls[-1]
        assert call.status == 202, call
        return call

    def refusal(self, first: Web, second: Web) -> tuple[int, str]:
        """What `second` answers to another text under a key that `first` has accepted one under."""
        key = f"another text at {second.url}"
        self.post(first, "slack", key)
        answer = requests.post(
            f"{second.url}/api/v1/notifications",
            json={"channel": "slack", "message": "another text", "to": "default"},
            headers={"Authorization": f"Bearer {self.api_key}", "Idempotency-Key": key},
            timeout=10,
        )
        return answer.status_code, answer.json()["code"]
