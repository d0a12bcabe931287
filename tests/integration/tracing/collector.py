"""A collector of traces at the wire: it takes OTLP over HTTP, and keeps every span that it was sent."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.contract.stand_in import HttpStandIn, http_answer
from tests.eventually import eventually

KINDS = {1: "internal", 2: "server", 3: "client", 4: "producer", 5: "consumer"}


@dataclass(frozen=True)
class Span:
    """As it came; ids as W3C writes them."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str  # "" of a root
    role: str
    attributes: dict[str, Any]
    links: list[tuple[str, str]]  # trace and span
    events: list[dict[str, Any]]

    @property
    def traceparent(self) -> str:
        return f"00-{self.trace}-{self.id}-01"


class Collector(HttpStandIn):
    def __init__(self) -> None:
        super().__init__()
        self.answer = http_answer(200, ExportTraceServiceResponse().SerializeToString())

    @property
    def environment(self) -> dict[str, str]:
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",  # ms
        }

    @property
    def octets(self) -> bytes:
        """Everything that was said to it."""
        return b"".join(_body(request) for request in list(self.requests))

    def spans(self, name: str = "") -> list[Span]:
        found = []
        for request in list(self.requests):
            for resource in ExportTraceServiceRequest.FromString(_body(request)).resource_spans:
                role = _values(resource.resource.attributes)["notifier.role"]
                found += [_span(each, role) for scope in resource.scope_spans for each in scope.spans]
        return [span for span in found if not name or span.name == name]

    def wait(self, name: str, count: int = 1) -> list[Span]:
        """All of this name, when there are so many."""
        eventually(lambda: len(self.spans(name)) >= count, what=f"{count} spans of {name}")
        found = self.spans(name)
        assert len(found) == count
        return found


def _body(request: Any) -> bytes:
    return gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body


def _span(span: Any, role: str) -> Span:
    return Span(
        name=span.name,
        kind=KINDS[span.kind],
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        role=role,
        attributes=_values(span.attributes),
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        events=[{"name": event.name, **_values(event.attributes)} for event in span.events],
    )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
