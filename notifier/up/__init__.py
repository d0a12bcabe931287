"""The whole service in the foreground, for `make run`: Postgres, the web server, workers and the sandbox.

Every program is a child that is started again when it dies and that ends with us, however we end.
"""

from notifier.up.service import StartFailed as StartFailed
from notifier.up.service import run as run
