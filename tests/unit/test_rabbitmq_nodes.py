"""The addresses of a cluster's nodes: checked before anything connects to them, and shown without their secrets."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured
from pika import URLParameters

from notifier import broker
from notifier.masking import MASK, Masker
from notifier.rabbitmq_nodes import Node, Nodes, split

GOOD = "amqp://user:hush-hush@one:5672;amqps://user:hush-hush@two"


def test_addresses_are_separated_by_semicolons_with_or_without_spaces() -> None:
    assert split("amqp://one") == ["amqp://one"]
    assert split(" amqp://u:p@one/shop ; amqps://u:p@two:5671/shop ") == [
        "amqp://u:p@one/shop",
        "amqps://u:p@two:5671/shop",
    ]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("amqp://u:hush@one:none", "BROKER_URL must be"),
        ("amqp://u:hush@one:0", "BROKER_URL must be"),
        ("amqp://u:hush@", "BROKER_URL must be"),
        ("amqp://u:hush@one?hush=1", "BROKER_URL must be"),
        ("amqp://u:hush@one;", "address 2 of BROKER_URL must be"),
        ("amqp://u:hush@one;redis://u:hush@two", "address 2 of BROKER_URL must be"),
        ("amqp://u:hush@one/shop;amqp://u:hush@two/hush", "one virtual host"),
    ],
)
def test_a_wrong_address_is_refused_by_its_place_and_not_shown(url: str, said: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=said) as refused:
        split(url)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("url", ["", "redis://localhost"])
def test_a_queue_type_is_for_rabbitmq_alone(url: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="BROKER_QUEUE_TYPE"):
        broker.build(url, [], queue_type="quorum")


def test_the_password_of_each_address_is_masked_in_logs() -> None:
    text = Masker(GOOD.split(";")).text(f"{GOOD} and hush-hush")

    assert "hush" not in text
    assert MASK in text
    assert "hush" not in str(Node(URLParameters(split(GOOD)[0])))


def test_connections_are_spread_and_who_failed_comes_last() -> None:
    nodes = Nodes(["amqp://one", "amqp://two", "amqp://three"])
    assert {str(nodes.in_turn()[0]) for _ in range(100)} == {"one:5672", "two:5672", "three:5672"}

    failed = nodes.in_turn()[0]
    failed.shun()

    assert {str(nodes.in_turn()[2]) for _ in range(100)} == {str(failed)}
