"""A worker's own way out for its metrics, where METRICS_PORT is set: it serves no web pages otherwise."""

from __future__ import annotations

import structlog
from django.conf import settings
from prometheus_client import start_http_server

from notifications import metrics

log = structlog.get_logger(__name__)


def start() -> None:
    """Listen, if that is wanted. A port that is taken is said, and changes nothing of what is sent."""
    port: int = getattr(settings, "METRICS_PORT", 0)
    if not port:
        return
    host: str = settings.METRICS_HOST
    try:
        start_http_server(port, addr=host, registry=metrics.registry())
    except OSError as error:
        log.warning("metrics.not_exported", host=host, port=port, reason=error.strerror or type(error).__name__)
        return
    log.info("metrics.exported", host=host, port=port)
