"""Logs: one pipe for structlog and for every library's stdlib logger, one line an event, masked.

`form` "json" writes one JSON object a line, "console" is for a person's eyes. Both go to standard error.
What is bound with structlog's contextvars (the correlation id) is on every line of that request or delivery.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

from notifier.masking import Masker

# Libraries that write URLs, headers, SQL parameters or message bodies at lower levels than these.
_LEAST_LEVELS = {
    "urllib3": logging.WARNING,
    "psycopg.pool": logging.WARNING,  # a line for each connection borrowed and given back
    "requests": logging.WARNING,
    "twilio": logging.WARNING,
    "requests_oauthlib": logging.WARNING,  # with whom some services of apprise sign
    "oauthlib": logging.WARNING,
    "django.db.backends": logging.WARNING,
    "django.template": logging.WARNING,
    "django.utils.autoreload": logging.INFO,
    "psycopg": logging.INFO,
    "pika": logging.CRITICAL,  # it reports each lost connection as an error; Dramatiq says the same, once
    "mail.log": logging.WARNING,
    "faker": logging.WARNING,
    "factory": logging.WARNING,
}


def configure(*, level: str, form: str, secrets: Iterable[str] = ()) -> None:
    """Send every log of this process through one masked pipe to standard error; safe to repeat.

    `level` is a level's name in lower case, `form` "json" or "console", `secrets` the configured secrets to
    mask wherever they appear. Called at import of the settings: web, worker and commands all have it.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _unfold_send,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    rendered: list[Processor] = [Masker(secrets), *_renderers(form)]  # nothing is added behind the mask

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
        )
    )
    handler.addFilter(_not_from_a_signal)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in _LEAST_LEVELS.items():
        logging.getLogger(name).setLevel(max(least, root.level))
    for name in ("_granian", "granian.access"):  # the web server brings handlers of its own
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    django_request = logging.getLogger("django.request")
    django_request.filters[:] = [_only_with_traceback]  # RequestLog has the line of every answer already
    logging.getLogger("django.server").propagate = False  # the same, by `runserver`
    logging.captureWarnings(capture=True)

    # Ours do not go by way of the standard library's loggers: a line of theirs costs several times as much.
    structlog.configure(
        processors=[_add_name, *shared, *rendered],
        logger_factory=_Line,
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        cache_logger_on_first_use=True,
    )
    # What nobody caught would be printed raw, its secrets with it.
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda args: _log_uncaught(args.exc_type, args.exc_value, args.exc_traceback)


class _Line:
    """What structlog hands a finished line to."""

    def __init__(self, name: str = "notifier") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        # One call for the whole of it: lines of several threads never mix.
        sys.stderr.write(f"{line}\n")

    debug = info = warning = error = critical = msg


def _unfold_send(_: object, __: str, event: EventDict) -> EventDict:
    # What is being sent is bound whole, and spelt out only where a line is written.
    if (send := event.pop("send", None)) is not None:
        event.update(send.log_fields())
    return event


def _add_name(logger: _Line | None, __: str, event: EventDict) -> EventDict:
    event["logger"] = logger.name if logger else "notifier"
    return event


def _renderers(form: str) -> list[Processor]:
    if form == "console":
        plain = structlog.dev.plain_traceback  # the others show local variables, secrets among them
        return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    return [_put_first, structlog.processors.JSONRenderer(serializer=_to_json)]


def _put_first(_: object, __: str, event: EventDict) -> EventDict:
    first = {name: event.pop(name) for name in ("timestamp", "level", "event", "logger") if name in event}
    return {**first, **event}


def _to_json(event: dict[str, Any], **_: Any) -> str:
    return _encoder.encode(event)


_encoder = json.JSONEncoder(ensure_ascii=False, default=str)


def _not_from_a_signal(record: logging.LogRecord) -> bool:
    """Dramatiq's main thread says that it is ready, and its signal handler that it stops. Where the signal comes in the
    middle of the first line Python refuses the second, with an error, and the signal is lost: neither is written."""
    return record.levelno > logging.INFO or not record.name.startswith("dramatiq.WorkerProcess")


def _only_with_traceback(record: logging.LogRecord) -> bool:
    return bool(record.exc_info)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, traceback: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error or kind(), traceback)
    elif not issubclass(kind, SystemExit):
        structlog.get_logger("notifier").critical(
            "uncaught", exc_info=(kind, error or kind(), traceback), thread=threading.current_thread().name
        )
