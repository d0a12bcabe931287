"""A Postgres of our own, for a machine that has none: the server of a PyPI wheel, run as a child of ours.

Only the wheel's programs are used, never its Python. The server listens on a Unix socket in a private folder
and never on a network: only its owner (and root) can reach it. Reasons: docs/adr/0001-embedded-postgres.md.
Standard library only, because the settings import this before anything else is set up.
"""

from notifier.embedded.errors import EmbeddedError as EmbeddedError
from notifier.embedded.place import connection as connection
from notifier.embedded.server import Server as Server
from notifier.embedded.server import running as running
