"""Whether there are traces, as OpenTelemetry's own variables say; a wrong one is told at the start."""

from __future__ import annotations

import os

from django.core.exceptions import ImproperlyConfigured

from notifier import environment

SAMPLERS = tuple(
    f"{base}{kind}" for base in ("", "parentbased_") for kind in ("always_on", "always_off", "traceidratio")
)


def wanted() -> bool:
    """Where a collector is named. Raises: ImproperlyConfigured."""
    for name in [name for name, value in os.environ.items() if name.startswith("OTEL_") and not value.strip()]:
        del os.environ[name]  # a blank line of .env; OpenTelemetry would take it for an empty address
    exporter = environment.choice("OTEL_TRACES_EXPORTER", ("otlp", "none"), "otlp")
    endpoint = environment.text("OTEL_EXPORTER_OTLP_ENDPOINT")
    if exporter == "none" or not (endpoint or environment.text("OTEL_TRACES_EXPORTER")):
        return False
    if endpoint and not environment.is_address(endpoint):
        raise ImproperlyConfigured("OTEL_EXPORTER_OTLP_ENDPOINT must be an address such as http://collector:4318.")
    environment.choice("OTEL_EXPORTER_OTLP_PROTOCOL", ("http/protobuf",), "http/protobuf")
    environment.choice("OTEL_TRACES_SAMPLER", SAMPLERS, "parentbased_always_on")
    share = environment.text("OTEL_TRACES_SAMPLER_ARG", "1")
    try:
        valid = 0 <= float(share) <= 1
    except ValueError:
        valid = False
    if not valid:
        raise ImproperlyConfigured(f"OTEL_TRACES_SAMPLER_ARG must be a share from 0 to 1, not {share!r}.")
    return not environment.flag("OTEL_SDK_DISABLED", default=False)
