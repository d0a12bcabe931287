"""Django is not set up yet when this is read: what needs it is imported where it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from notifications.models import Client


@pytest.fixture
def poster(transactional_db: None) -> Client:
    """Whose notifications the rows are."""
    from django.db import connection

    from notifications.models import Client

    with connection.cursor() as cursor:
        cursor.execute("SELECT setval(pg_get_serial_sequence('client', 'id'), 1)")
    return Client.objects.create(id=1, name="shop")
