"""The database stands still while its connections stand: no refusal, no reset, no answer, no limit that it keeps."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from urllib.request import urlopen

import pytest

from notifier.deadline import ANSWER_WAIT, CANCEL_WAIT

from .servers import Template
from .service import WEB_THREADS, Service, events

pytestmark = pytest.mark.timeout(120)  # a bound for a machine that is busy; each has its own deadlines

ServiceOn = Callable[[str], AbstractContextManager[Service]]

CLIENTS = 2 * WEB_THREADS  # every thread is in the middle of something, and as many wait for one
# Two seconds for what a request does besides, four for a machine that is busy; without a limit it waits for minutes.
LONGEST = (ANSWER_WAIT + CANCEL_WAIT).total_seconds() + 6


def test_while_the_server_stands_still_every_client_is_told_so_in_time(
    template: Template, service_on: ServiceOn
) -> None:
    with template.server() as server, service_on(server.url) as service:
        service.start()
        web, worker = service.running
        with service.load(clients=CLIENTS, rate=0):
            service.until_more_are_accepted(50)
            with server.standing_still():
                service.until_refused(CLIENTS)
                assert urlopen(f"{service.webs[0]}/healthz", timeout=2).status == 200, "a thread is free"
            delivering = service.until_more_are_received(20)
            service.until_more_are_accepted(20)
        service.check()  # a call that was not answered at all would be found, too

        longest = max(call.seconds for call in service.log.calls)
        print(f"longest call {longest:.2f} s, {len(service.refused())} refused, sending again after {delivering:.2f} s")
        assert longest < LONGEST
        assert {json.loads(call.error)["code"] for call in service.refused()} == {"unavailable"}
        assert delivering < 5
        assert events(web, "database.silent")
        assert events(worker, "worker.buried") == events(worker, "lease.lost") == 0
