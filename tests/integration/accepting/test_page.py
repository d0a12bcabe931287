"""The page docs/in_process.md, run: a Django project of its own, a session of SQL, a trigger."""

from __future__ import annotations

import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from notifications.models import Notification
from notifications.outbox.statement import Row, direct_connection
from notifier.postgres_broker import NOTIFY_CHANNEL
from tests.factories import ClientFactory
from tests.processes import ROOT, database_url, plain_environment

PAGE = (ROOT / "docs" / "in_process.md").read_text(encoding="utf-8")
SQL = re.findall(r"^```sql\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
PYTHON = {
    block.partition("\n")[0].removeprefix("# "): block
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
}
GRANT, SESSION, TRIGGER, CATCHING, MANY, OWN, WAKE = SQL

# What a shop would have written itself.
SETTINGS = """
import os
from notifier import environment
DATABASE = environment.database(os.environ["SHOP_DATABASE"])
DATABASES = {{"default": {{**DATABASE, "ENGINE": "django.db.backends.postgresql"}}}}
SECRET_KEY = "of the shop"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.postgres", "shop"]
{of_the_page}
"""
MODELS = """
from django.db import models

class Order(models.Model):
    email = models.TextField()
    total = models.DecimalField(max_digits=9, decimal_places=2)

    class Meta:
        app_label = "shop"
        db_table = "shop_order"
"""
PROGRAM = """
import django
django.setup()
from django.core.management import call_command
from shop.models import Order
from shop.orders import place
call_command("check", fail_level="ERROR")
placed = place(Order(pk=7, email="ann@example.com", total=1))
again = place(Order(pk=7, email="ann@example.com", total=1))
print(placed.notification_id, placed.replayed, again.replayed, placed.body == again.body)
"""

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def owner(published: None) -> Iterator[psycopg.Connection[Row]]:
    """A session with the shop's table."""
    ClientFactory(name="shop")
    with direct_connection("the shop's owner") as connection:
        connection.execute("CREATE TABLE shop_order (id integer PRIMARY KEY, email text, total numeric(9, 2))")
        yield connection
        connection.execute("DROP TABLE shop_order")
        connection.execute("DROP FUNCTION IF EXISTS shop_order_placed, shop_notify")


def lines() -> list[tuple[str, str, str]]:
    rows = Notification.objects.order_by("idempotency_key")
    return [(row.idempotency_key, row.recipient, row.body) for row in rows]


def test_a_django_project_of_its_own_accepts_with_its_order(owner: psycopg.Connection[Row], tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "__init__.py").touch()
    (shop / "models.py").write_text(MODELS)
    (shop / "settings.py").write_text(SETTINGS.format(of_the_page=PYTHON["shop/settings.py"]))
    (shop / "orders.py").write_text(PYTHON["shop/orders.py"])
    environment = plain_environment(
        SHOP_DATABASE=database_url(), DJANGO_SETTINGS_MODULE="shop.settings", PYTHONPATH=f"{tmp_path}:{ROOT}"
    )
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr

    row = Notification.objects.get()
    assert done.stdout.splitlines()[-1] == f"{row.id} False True True"
    assert (row.client.name, row.recipient, row.metadata) == ("shop", "ann@example.com", {"order": 7})
    assert owner.execute("SELECT id FROM shop_order").fetchall() == [(7,)]


def test_the_pages_session_and_triggers_accept(owner: psycopg.Connection[Row]) -> None:
    owner.execute(SESSION)
    assert lines() == [("order-placed:1", "ann@example.com", "Thank you.")]

    owner.execute(TRIGGER)
    assert lines()[1:] == [("order-placed:2", "bob@example.com", "Thank you. It comes to 12.00.")]
    with pytest.raises(psycopg.Error) as refused:
        owner.execute("INSERT INTO shop_order VALUES (9, 'nobody', 1)")
    assert refused.value.sqlstate == "NK001"

    owner.execute(CATCHING)
    assert owner.execute("SELECT id FROM shop_order ORDER BY id").fetchall() == [(1,), (2,), (3,)]
    assert len(lines()) == 2

    for _ in range(2):
        assert owner.execute(MANY).fetchall() == [(2,)]
    assert [key for key, _, _ in lines()] == [
        *(f"order-placed:{n}" for n in (1, 2)),
        *(f"order-shipped:{n}" for n in (1, 2)),
    ]


def test_the_pages_roles_may_do_what_it_says(owner: psycopg.Connection[Row]) -> None:
    role = f"shop_{secrets.token_hex(4)}"
    accept = "SELECT FROM notifications_accept('shop', 'slack', 'hello')"
    notify = "SELECT shop_notify('ann@example.com', 'Hi', 'hello', 'k')"
    owner.execute(GRANT.replace("shop_app", role))
    try:
        with direct_connection("the shop") as shop:
            shop.execute(f"SET ROLE {role}")
            shop.execute(accept)
            owner.execute(OWN.replace("shop_app", role))
            shop.execute(notify)
            for forbidden in (accept, "SELECT FROM notification"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    shop.execute(forbidden)
    finally:
        owner.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")
    assert [body for _, _, body in lines()] == ["hello", "hello"]


def test_the_pages_wake_up_is_the_brokers_own(owner: psycopg.Connection[Row]) -> None:
    with direct_connection("a worker") as listening:
        listening.execute(f"LISTEN {NOTIFY_CHANNEL}")
        owner.execute(WAKE)
        assert [notice.payload for notice in listening.notifies(timeout=10, stop_after=1)] == ["email"]


def test_the_page_names_every_parameter_in_its_order(owner: psycopg.Connection[Row]) -> None:
    names = owner.execute("SELECT proargnames FROM pg_proc WHERE proname = 'notifications_accept'").fetchall()[0][0]
    table = PAGE[PAGE.index("| parameter |") : PAGE.index("The answer is one row")]
    first_cells = "".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE))

    assert re.findall(r"`(\w+)`", first_cells) == names[:-4]
    assert names[-4:] == ["id", "status", "answer", "replayed"]


def test_the_page_names_every_sqlstate() -> None:
    source = (ROOT / "notifications" / "migrations" / "sql" / "accept.sql").read_text()
    raised = set(re.findall(r"ERRCODE = '(\w+)'", source))
    assert raised == set(re.findall(r"NK\d{3}|40001", PAGE)) >= {"NK001", "NK005"}
