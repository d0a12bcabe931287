"""The faces by which a notification is accepted, each spoken to as its callers do, and their answers side by side."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

import psycopg
from django.db import DatabaseError, connection

from notifications import credentials, services
from notifications.models import Client
from notifications.services import NotificationRequest
from notifications.states import Priority
from tests.factories import ApiKeyFactory
from tests.integration.api.callers import Caller


class Told:
    """An answer to an accept."""

    def __init__(self, body: bytes, *, replayed: bool) -> None:
        self.body = body
        self.replayed = replayed

    @property
    def shown(self) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.body)
        return shown

    @property
    def id(self) -> UUID:
        return UUID(self.shown["id"])


class Mend(Exception):
    """Raised when a request is refused, with the field to mend and its code."""

    def __init__(self, field: str, code: str) -> None:
        super().__init__(field, code)
        self.field = field
        self.code = code


class Reused(Exception):
    """Raised when the key was used for another request."""


class Face(Protocol):
    def accept(self, client: Client, *, key: str | None = None, **fields: Any) -> Told:
        """`fields` are those of the API. Raises: Mend, Reused."""
        ...


class InProcess:
    def accept(self, client: Client, *, key: str | None = None, correlation_id: str = "", **fields: Any) -> Told:
        if "priority" in fields:
            fields["priority"] = Priority[fields["priority"].upper()]
        try:
            accepted = services.accept(client, NotificationRequest(**fields), key=key, correlation_id=correlation_id)
        except services.Refused as error:
            raise Mend(error.problems[0].field, error.problems[0].code) from None
        except services.InvalidKey:
            raise Mend("idempotency_key", "idempotency_key_invalid") from None
        except services.KeyReused:
            raise Reused from None
        return Told(accepted.body, replayed=accepted.replayed)


# What the parameters are called where SQL has a word of its own.
NAMES: Final = {"to": "recipient", "key": "idempotency_key"}


def call(execute: Callable[[str, list[Any]], Any], client: str | None, **fields: Any) -> Told:
    """SELECT from the function by whatever executes."""
    given = {"client": client} | {NAMES.get(name, name): _parameter(value) for name, value in fields.items()}
    named = ", ".join(f"{name} => %s" for name in given)
    id_, status, answer, replayed = execute(
        f"SELECT id, status, answer::text, replayed FROM notifications_accept({named})", list(given.values())
    )
    told = Told(answer.encode(), replayed=replayed)
    assert (id_, status) == (told.id, told.shown["status"])
    return told


def by_django(sql: str, parameters: list[Any]) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchone()


class Sql:
    def accept(self, client: Client, *, key: str | None = None, **fields: Any) -> Told:
        try:
            return call(by_django, client.name, key=key, **fields)
        except DatabaseError as error:
            raise translated(error) from error


def translated(error: DatabaseError) -> Exception:
    """Mend or Reused; the error itself where it is none of the function's."""
    cause = error.__cause__
    if not isinstance(cause, psycopg.Error) or not (cause.sqlstate or "").startswith("NK"):
        return error
    said = json.loads(cause.diag.message_detail or "")
    if cause.sqlstate == "NK005":
        return Reused()
    return Mend("to" if said["field"] == "recipient" else said["field"], said["code"])


class Rest:
    def accept(self, client: Client, *, key: str | None = None, correlation_id: str = "", **fields: Any) -> Told:
        text = credentials.new_key().text
        ApiKeyFactory(client=client, text=text)
        body = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}
        headers = {"X-Correlation-ID": correlation_id} if correlation_id else {}
        options = {} if key is None else {"key": key}
        answer = Caller(client, text).post("/api/v1/notifications", body, **options, **headers)
        if answer.status_code == 202:
            return Told(answer.content, replayed=answer.headers.get("Idempotent-Replayed") == "true")
        problem = json.loads(answer.content)
        if problem["code"] == "idempotency_key_reused":
            raise Reused
        if problem["code"] == "idempotency_key_invalid":
            raise Mend("idempotency_key", problem["code"])
        assert problem["code"] in {"invalid", "suppressed"}, problem
        raise Mend(problem["errors"][0]["field"], problem["errors"][0]["code"])


FACES: Final[Mapping[str, Callable[[], Face]]] = {"in-process": InProcess, "sql": Sql, "rest": Rest}


def _parameter(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value
