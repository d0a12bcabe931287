"""Whose an API key is: read with every request, so by a prepared statement."""

from __future__ import annotations

from typing import Final

from notifications.outbox.statement import Row, run

# Only a key that is neither revoked nor expired by the database's clock. Index: api_key's unique digest, primary key.
# Rows: (client's id, name, is active, its rate limit or null, the key's scopes, whether it is for tests, seconds until
# it expires or null), at most one.
CLIENT_OF_KEY: Final = """
SELECT c.id, c.name, c.is_active, c.rate_limit, k.scopes, k.is_test, extract(epoch FROM k.expires_at - now())::float8
FROM api_key k JOIN client c ON c.id = k.client_id
WHERE k.digest = %(digest)s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
"""


def client_of_key(digest: bytes) -> Row | None:
    """The row above, or None where the key is no good. Raises: django.db.OperationalError."""
    rows = run(CLIENT_OF_KEY, {"digest": digest})
    return rows[0] if rows else None
