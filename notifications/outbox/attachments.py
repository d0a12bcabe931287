"""Files: stored once, however many notifications they go along with, and read when one of these is sent."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Final

from notifications.outbox.statement import run

# A file that nothing refers to is kept for so long after it was last asked for: one that is sent every morning is
# not written every morning.
UNUSED_FOR: Final = timedelta(days=1)
# `used_at` is not written more often than this: whoever writes it holds the row until the commit, and others that send
# the same file wait meanwhile. One that was touched since is out of a purge's reach for the rest of its day, and need
# not be held.
_TOUCHED: Final = "interval '1 hour'"

# Stores the files of what was `answered` by a yes, and links them, in the statement that accepts it. One that is there
# already is touched, which holds it against a purge: that passes over rows that are held, and looks at `used_at` again.
# In one order everywhere, so that two accepts never wait for each other. Four CTEs.
# Index: primary key of attachment. Parameters: digests and files, side by side, each file once; the files in binary: as
# a text psycopg writes 5 MB of them in 190 ms, so in 6.
FILE_STORED: Final = f"""linking AS (
    SELECT DISTINCT n.id, decode(f.file ->> 'digest', 'hex') AS digest
    FROM answered AS a CROSS JOIN LATERAL json_to_recordset(a.notifications) AS n (id uuid, content json)
    CROSS JOIN LATERAL json_array_elements(n.content -> 'files') AS f (file)
    WHERE a.suppressed = '{{}}'
), held AS (
    SELECT digest FROM attachment WHERE digest = ANY(%(digests)s::bytea[]) AND used_at > now() - {_TOUCHED}
), filed AS (
    INSERT INTO attachment (digest, content, used_at)
    SELECT f.digest, f.content, now() FROM unnest(%(digests)s::bytea[], %(files)b::bytea[]) AS f (digest, content)
    WHERE f.digest IN (SELECT digest FROM linking) AND f.digest NOT IN (SELECT digest FROM held)
    ORDER BY f.digest
    ON CONFLICT (digest) DO UPDATE SET used_at = now()
), linked AS (
    INSERT INTO attachment_link (notification_id, digest) SELECT id, digest FROM linking
)"""

# Index: primary key. Rows: (digest, content) of those that are there.
READ_FILES: Final = """
SELECT digest, content FROM attachment WHERE digest = ANY(%(digests)s::bytea[])
"""


def read_files(digests: Collection[bytes]) -> dict[bytes, bytes]:
    """The bytes of each. Raises: django.db's errors."""
    rows = run(READ_FILES, {"digests": list(digests)}, binary=True)
    return {bytes(digest): bytes(content) for digest, content in rows}
