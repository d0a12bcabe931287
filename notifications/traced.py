"""The spans of what a worker claims: of the claim, of each send and of its provider's answer, of the record.

Nothing here is reached where traces are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec
from uuid import UUID

import structlog
from django.db import Error as DatabaseError

from channels.contract import ChannelError, DeliveryReport, Message, Receipt, Session
from channels.registry import Channel
from notifications import tracing
from notifications.outbox.claim import Claim
from notifications.outbox.record import Result
from notifications.outbox.statement import give_back
from notifications.outbox.traces import read_traces
from notifications.states import Outcome

if TYPE_CHECKING:
    from notifications.tracing.telemetry import Context, Telemetry

log = structlog.get_logger(__name__)
Rest = ParamSpec("Rest")
Sent = tuple[Result, ChannelError | None]


class Traced:
    """Used by one thread, for what it has claimed of a lane."""

    def __init__(self, traces: Telemetry, contexts: dict[UUID, Context], lane: str, known: Channel) -> None:
        self._traces = traces
        self._contexts = contexts
        self._known = known
        self._attributes: Final = {
            "messaging.system": "notifier",
            "messaging.destination.name": lane,
            "notifier.provider": known.backend.name,
        }

    def claimed(self, claims: Collection[Claim], began: float) -> None:
        """They were claimed; `began`: the monotonic clock before that."""
        self._over("claim", [claim.id for claim in claims], began)

    def recorded(self, results: Collection[Result], began: float) -> None:
        """Their results were written; `began`: as above."""
        self._over("record", [result.claim.id for result in results], began)

    def log_fields(self, claim: Claim) -> Mapping[str, object]:
        context = self._contexts.get(claim.id)
        return {"trace_id": context.trace_id} if context else {}

    def sending(self, send: Callable[Concatenate[Session, Claim, Rest], Sent]) -> Callable[..., Sent]:
        """`sending.send` with a span around it, and one more around the provider's part."""

        def sent(session: Session, claim: Claim, *args: Rest.args, **rest: Rest.kwargs) -> Sent:
            attributes: dict[str, str | int | bool] = {
                **self._attributes,
                "messaging.message.id": str(claim.id),
                "messaging.operation.type": "process",
                "notifier.attempt": claim.attempt,
                "notifier.possible_duplicate": claim.possible_duplicate,
            }
            within = self._contexts.get(claim.id) or self._traces.root
            with self._traces.begin(
                f"send {self._known.name}", "consumer", within=within, attributes=attributes
            ) as span:
                self._contexts.setdefault(claim.id, span.context)
                result, failure = send(_CalledInATrace(session, self._traces, self._attributes), claim, *args, **rest)
                span.note(
                    {
                        "notifier.outcome": result.outcome.value,
                        "notifier.status": result.decision.status.value,
                        "notifier.code": result.code,
                    }
                )
                if failure is not None:
                    span.raised(type(failure).__name__, failure.code)
                elif result.outcome is Outcome.UNEXPECTED:
                    span.raised(result.code)
            return result, failure

        return sent

    def _over(self, name: str, ids: Collection[UUID], began: float) -> None:
        contexts = [context for id_ in ids if (context := self._contexts.get(id_))]
        attributes: dict[str, str | int | bool] = {**self._attributes, "messaging.batch.message_count": len(ids)}
        self._traces.over(name, contexts, began, attributes, alone=len(ids) == 1)


class _CalledInATrace:
    """A backend's session whose every call is a span, which the provider is told of."""

    def __init__(self, session: Session, traces: Telemetry, attributes: Mapping[str, str]) -> None:
        self._session = session
        self._traces = traces
        self._attributes = attributes

    def send(self, message: Message) -> Receipt:
        name = self._attributes["notifier.provider"]
        with self._traces.begin(name, "client", attributes=self._attributes) as span:
            receipt = self._session.send(message._replace(traceparent=span.traceparent))
            span.note({"notifier.code": receipt.code})
        return receipt


def traced(claims: Collection[Claim], lane: str, known: Channel) -> Traced | None:
    """None where traces are not kept. What cannot be read begins traces of its own: nothing waits for that."""
    traces = tracing.live()
    if traces is None:
        return None
    given: dict[UUID, str] = {}
    try:
        given = read_traces(claim.id for claim in claims)
    except DatabaseError as error:
        log.warning("traces.not_read", error=type(error).__name__)
    finally:
        give_back()
    contexts = {id_: context for id_, text in given.items() if (context := traces.read(text))}
    return Traced(traces, contexts, lane, known)


@contextmanager
def reported(notification_id: UUID, report: DeliveryReport) -> Iterator[None]:
    """Around what a provider's later word changes: a span in the notification's trace, if it has one."""
    traces = tracing.live()
    context = None
    if traces is not None:
        try:
            context = traces.read(read_traces([notification_id]).get(notification_id, ""))
        except DatabaseError:
            context = None  # what follows says so itself
    if traces is None or context is None:
        yield
        return
    attributes = {
        "messaging.message.id": str(notification_id),
        "notifier.progress": report.progress.name.lower(),
        "notifier.code": report.code,
    }
    with traces.begin("receipt", "internal", within=context, attributes=attributes):
        yield
