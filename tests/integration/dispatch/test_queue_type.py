"""The queues' type: ours to declare or the server's to choose, and what becomes of queues that are of another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import dramatiq
import pytest
from django.conf import settings

from channels.sandbox.server import Sandbox
from notifications import nudge
from notifications.models import Notification
from notifier import broker
from notifier.rabbitmq_broker import Rabbitmq
from tests import processes
from tests.eventually import eventually

from .conftest import Post

pytestmark = pytest.mark.django_db(transaction=True)

OF_ANOTHER_TYPE = "broker.queue_of_another_type"


@pytest.fixture
def built(rabbitmq_url: str) -> Iterator[Callable[[str], Rabbitmq]]:
    """A broker with queues of a type, on a server without any."""
    brokers: list[Rabbitmq] = []

    def build(queue_type: str) -> Rabbitmq:
        made = broker.build(rabbitmq_url, settings.NOTIFIER_CHANNELS, queue_type=queue_type)
        assert isinstance(made, Rabbitmq)
        brokers.append(made)
        return made

    delete_queues(build("default"))
    yield build
    delete_queues(build("default"))
    for each in brokers:
        each.close()


def delete_queues(known: Rabbitmq) -> None:
    for queue in settings.NOTIFIER_CHANNELS:
        for suffix in ("", ".DQ", ".XQ"):
            known.channel.queue_delete(queue + suffix)


def test_of_each_channel_there_is_one_queue_of_the_type_that_was_asked_for(
    built: Callable[[str], Rabbitmq], capfd: pytest.CaptureFixture[str]
) -> None:
    asking = built("quorum")
    asking.enqueue(nudge.message("slack:default"))

    assert asking.waiting("slack") == 1
    assert not there(asking, "slack.DQ")
    assert not there(asking, "slack.XQ")
    assert OF_ANOTHER_TYPE not in capfd.readouterr().err
    # Who asks for none takes what there is, and has nothing to say about it.
    built("default").enqueue(nudge.message("slack:default"))
    assert asking.waiting("slack") == 2
    assert OF_ANOTHER_TYPE not in capfd.readouterr().err


def there(known: Rabbitmq, queue: str) -> bool:
    from pika.exceptions import ChannelClosedByBroker

    try:
        known.channel.queue_declare(queue, passive=True)
    except ChannelClosedByBroker:
        del known.channel
        return False
    return True


def test_a_queue_of_another_type_is_used_as_it_is_and_complained_of_until_it_is_deleted(
    built: Callable[[str], Rabbitmq], capfd: pytest.CaptureFixture[str]
) -> None:
    built("default").enqueue(nudge.message("slack:default"))
    asking = built("quorum")
    for _ in range(2):
        asking.enqueue(nudge.message("slack:default"))

    assert asking.waiting("slack") == 3
    [complaint] = [line for line in capfd.readouterr().err.splitlines() if OF_ANOTHER_TYPE in line]
    assert "x-queue-type" in complaint
    assert "rabbitmqctl delete_queue slack" in complaint

    asking.channel.queue_delete("slack")
    asking.enqueue(nudge.message("slack:default"))
    built("quorum").enqueue(nudge.message("slack:default"))
    assert asking.waiting("slack") == 2
    assert OF_ANOTHER_TYPE not in capfd.readouterr().err


def test_an_older_workers_queues_are_declared_alike(built: Callable[[str], Rabbitmq], rabbitmq_url: str) -> None:
    """Those of before declare three for each channel, and may be the first or the last to do so."""
    older = dramatiq.brokers.rabbitmq.RabbitmqBroker(url=rabbitmq_url, middleware=[])
    older.declare_queue("slack", ensure=True)
    built("default").enqueue(nudge.message("slack:default"))
    built("default").enqueue(nudge.message("sms"))
    older.declare_queue("sms", ensure=True)
    older.close()


@pytest.mark.parametrize("there_is", ["default", "quorum"])
def test_a_worker_that_asks_for_quorum_queues_is_woken_by_what_there_is(
    there_is: str,
    built: Callable[[str], Rabbitmq],
    rabbitmq_url: str,
    post: Post,
    sandbox: Sandbox,
    providers: dict[str, str],
) -> None:
    here = built(there_is)
    for queue in settings.NOTIFIER_CHANNELS:
        here.declare_queue(queue, ensure=True)
    before = dramatiq.get_broker()
    dramatiq.set_broker(here)
    try:
        with processes.worker(**providers, BROKER_URL=rabbitmq_url, BROKER_QUEUE_TYPE="quorum") as worker:
            eventually(lambda: consumed(here), what="a consumer")
            post("hello")
            eventually(lambda: Notification.objects.get().status == "sent", what="sent")
            complaints = worker.log.count(OF_ANOTHER_TYPE)
            assert "Traceback" not in worker.log
    finally:
        dramatiq.set_broker(before)

    assert complaints == (len(settings.NOTIFIER_CHANNELS) if there_is == "default" else 0)


def consumed(known: Rabbitmq) -> bool:
    return bool(known.channel.queue_declare("slack", passive=True).method.consumer_count)
