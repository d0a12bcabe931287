"""The spans themselves: the one module that imports OpenTelemetry, and is imported where traces are wanted alone.

No span holds a recipient, a text, a query, an address or a provider's words: an exception is its class and its code.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic, time_ns
from typing import Final, NamedTuple

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

FLUSH_WITHIN: Final = 3.0  # seconds at the end of a process: a collector that hangs must not hold up a deployment
MOST_LINKS: Final = 1000  # of one batch's span; the library's own limit of 128 is less than a claim

Attributes = Mapping[str, str | int | bool]


class Context(NamedTuple):
    """Where a notification's trace is to go on."""

    parent: otel_context.Context
    span: SpanContext

    @property
    def trace_id(self) -> str:
        return trace.format_trace_id(self.span.trace_id)

    @property
    def sampled(self) -> bool:
        return self.span.trace_flags.sampled


class Begun:
    """A span that is under way."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.context = Context(trace.set_span_in_context(span), span.get_span_context())

    @property
    def traceparent(self) -> str:
        return traceparent(self.context)

    @property
    def trace_id(self) -> str:
        return self.context.trace_id

    def note(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def fail(self, kind: str, code: str = "") -> None:
        """Of an exception no more than its class and its code: words may hold what is nobody's business."""
        self._span.set_attribute("error.type", code or kind)
        self._span.set_status(Status(StatusCode.ERROR, code or kind))

    def raised(self, kind: str, code: str = "") -> None:
        self._span.add_event("exception", {"exception.type": kind, "exception.message": code})
        self.fail(kind, code)


class Telemetry:
    """What the threads of one process share: they only put their spans into a queue, and one more sends it on."""

    def __init__(self, role: str, service: str) -> None:
        self._provider = TracerProvider(
            resource=Resource.create({"notifier.role": role, "service.name": service}),
            span_limits=SpanLimits(max_links=MOST_LINKS),
            shutdown_on_exit=False,  # which waits for a collector for half a minute
        )
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("notifier")
        nothing = otel_context.Context()
        self.root = Context(nothing, trace.get_current_span(nothing).get_span_context())  # to begin a trace within

    def end(self) -> None:
        """Send what is left, as long as it takes, but no longer than FLUSH_WITHIN."""
        ending = threading.Thread(target=self._provider.shutdown, name="last spans", daemon=True)
        ending.start()
        ending.join(FLUSH_WITHIN)

    def read(self, given: str) -> Context | None:
        """What a `traceparent` says; None where it is none."""
        if not given:
            return None
        parent = _form.extract({"traceparent": given}, otel_context.Context())
        found = trace.get_current_span(parent).get_span_context()
        return Context(parent, found) if found.is_valid else None

    @contextmanager
    def begin(
        self, name: str, kind: str, *, within: Context | None = None, attributes: Attributes | None = None
    ) -> Iterator[Begun]:
        """A span around a block, current in it; `within`: its parent, else what is current.

        `kind`: server, producer, consumer or client.
        """
        span = self._tracer.start_span(
            name, within and within.parent, SpanKind[kind.upper()], attributes, record_exception=False
        )
        begun = Begun(span)
        token = otel_context.attach(begun.context.parent)
        try:
            yield begun
        except Exception as error:
            begun.raised(type(error).__name__, str(getattr(error, "code", "")))
            raise
        finally:
            otel_context.detach(token)
            span.end()

    def over(
        self, name: str, contexts: Collection[Context], began: float, attributes: Attributes, *, alone: bool
    ) -> None:
        """A span of what was done for several at once since `began`, by the monotonic clock, and has ended.

        `alone`: of one notification it is a part of that one's trace; of many a trace of its own, with links to those
        of theirs that are sampled. Where none is there is no span.
        """
        sampled = [context for context in contexts if context.sampled]
        if not sampled:
            return
        ended = time_ns()
        self._tracer.start_span(
            name,
            sampled[0].parent if alone else otel_context.Context(),
            SpanKind.INTERNAL,
            attributes,
            links=[] if alone else [Link(context.span) for context in sampled],
            start_time=ended - int((monotonic() - began) * 1e9),
        ).end(ended)


def traceparent(context: Context) -> str:
    """As W3C has it: https://www.w3.org/TR/trace-context/#traceparent-header"""
    span = context.span
    return f"00-{context.trace_id}-{trace.format_span_id(span.span_id)}-{span.trace_flags & 0xFF:02x}"


_form = TraceContextTextMapPropagator()
