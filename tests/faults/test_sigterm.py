"""Every process is restarted in turn by SIGTERM, under load: a deployment, which nobody may notice."""

from __future__ import annotations

from time import monotonic

import pytest

from channels.sandbox.faults import Fault, Kind
from notifications.models import Attempt, Worker
from tests.faults.site import WEB_GRACE, WORKER_GRACE, Site
from tests.processes import Running

pytestmark = pytest.mark.django_db(transaction=True)


def stopped(running: Running, *, grace: float) -> None:
    began = monotonic()
    running.terminate()
    assert running.wait(grace) == 0, running.log
    print(f"ended after {monotonic() - began:.1f} s")


def test_a_rolling_restart_shows_no_client_an_error_and_doubles_nothing(site: Site) -> None:
    # Slow enough to be in the middle of sends, and of batches, whenever SIGTERM comes.
    site.provider.faults.replace({c: [Fault(kind=Kind.LATENCY, latency_ms=20)] for c in ("slack", "email", "sms")})
    webs, workers = site.start(webs=2, workers=2, threads=24)
    leases = set(Worker.objects.values_list("id", flat=True))

    with site.load(clients=4, rate=60, channels=["slack", "email", "sms"]):
        for running, port in webs:
            stopped(running, grace=WEB_GRACE)
            site.start_web(port=port)
        for running, _ in workers:
            stopped(running, grace=WORKER_GRACE)
            site.start_worker(threads=24)
    site.settle()

    site.check_no_doubt()
    assert not [call for call in site.log.calls if call.status not in {202, None}], "no answer was an error"
    assert not leases & set(Worker.objects.values_list("id", flat=True)), "a lease ends with its worker"
    assert set(Attempt.objects.values_list("outcome", flat=True)) <= {"accepted", "released"}
