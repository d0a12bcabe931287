"""Clients of the API, as they speak HTTP."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpResponse
from django.test import Client as HttpClient

from notifications import credentials
from notifications.models import Client
from tests.factories import ApiKeyFactory, ClientFactory

SMS = {"message": "hello", "send_to_number": "+14155552671"}
MISSING: Any = object()


@dataclass
class Caller:
    client: Client
    key: str = field(repr=False)
    http: HttpClient = field(default_factory=lambda: HttpClient(raise_request_exception=False))

    def post(
        self, path: str, body: object, *, key: Any = MISSING, content_type: str = "application/json", **headers: str
    ) -> HttpResponse:
        """Post under a fresh Idempotency-Key, or the given one, or none (None)."""
        key = str(uuid.uuid4()) if key is MISSING else key
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Authorization": f"Bearer {self.key}", **({"Idempotency-Key": key} if key is not None else {})}
        return self.http.post(path, raw, content_type=content_type, headers={**sent, **headers})

    def patch(self, path: str, body: object) -> HttpResponse:
        raw = json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.key}"}
        return self.http.patch(path, raw, content_type="application/json", headers=headers)

    def delete(self, path: str) -> HttpResponse:
        return self.http.delete(path, headers={"Authorization": f"Bearer {self.key}"})

    def get(self, path: str, /, **query: str) -> HttpResponse:
        return self.http.get(path, query, headers={"Authorization": f"Bearer {self.key}"})


def new_caller() -> Caller:
    client = ClientFactory()
    key = credentials.new_key().text
    ApiKeyFactory(client=client, text=key)
    return Caller(client, key)
