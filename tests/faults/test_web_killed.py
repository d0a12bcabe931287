"""The web server dies (SIGKILL) in the middle of accepting; the client tries again with the same key."""

from __future__ import annotations

import random

import pytest

from notifications.models import Notification
from tests.eventually import eventually
from tests.faults.seeds import seeds
from tests.faults.site import Site, killed

pytestmark = pytest.mark.django_db(transaction=True)

POSTS = 20


@pytest.mark.parametrize("seed", seeds())
@pytest.mark.parametrize(
    ("step", "was_accepted"), [("before commit", False), ("after commit", True), ("after nudge", True)]
)
def test_a_request_that_the_server_died_over_is_accepted_once_by_its_retry(
    site: Site, step: str, was_accepted: bool, seed: int
) -> None:
    nth = random.Random(f"{step} {seed}").randint(1, POSTS)
    dying, port = site.start_web(entry="tests.faults.breaking_web", NOTIFIER_TESTS_BREAK=f"{step}:{nth}")
    site.start_worker()
    with site.load(clients=1, still_wanted=lambda: len(site.log.acknowledged()) < POSTS) as load:
        eventually(lambda: killed(dying), what="the server's death")
        at_death = Notification.objects.filter(idempotency_key=f"load:0:{nth}").count()
        site.start_web(port=port)
        eventually(lambda: len(site.log.acknowledged()) >= POSTS, what="all accepted")
        load.stop()
    site.settle()

    assert at_death == was_accepted
    answered = next(call for call in site.log.calls if call.key == f"load:0:{nth}" and call.status == 202)
    assert answered.number > 1
    assert answered.replayed == was_accepted
    site.check_no_doubt()
