"""One trace over the service's real processes, as a collector at the wire is told of it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import requests
from twilio.request_validator import RequestValidator

from channels import sandbox
from notifications import services
from notifications.models import Notification
from tests import processes
from tests.contract.stand_in import HttpStandIn, http_answer
from tests.eventually import eventually
from tests.integration.tracing.collector import Collector
from tests.integration.tracing.conftest import SECRET, Posted

pytestmark = pytest.mark.django_db(transaction=True)

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TEXT = "Nobody else may read this."
BODY = {"channel": "slack", "message": TEXT}
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
POST = "POST /api/v1/notifications"


def all_sent() -> bool:
    return not Notification.objects.exclude(status="sent").exists()


def counted(collector: Collector, name: str) -> int:
    return sum(span.attributes["messaging.batch.message_count"] for span in collector.spans(name))


def lines(log: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


def test_one_request_is_one_trace_from_the_caller_to_the_provider(
    collector: Collector, slack: HttpStandIn, known: dict[str, str], post: Posted
) -> None:
    environment = known | collector.environment
    with processes.web(**environment) as (_, url), processes.worker(**environment):
        id_ = post(url, BODY, traceparent=TRACEPARENT).json()["id"]
        for name in (POST, "accept", "claim", "send slack", "slack_webhook", "record"):
            collector.wait(name)
        spans = {span.name: span for span in collector.spans()}

    assert {span.trace for span in spans.values()} == {TRACE}
    assert (spans[POST].parent, spans[POST].kind, spans[POST].role) == (CALLER, "server", "web")
    assert (spans["accept"].parent, spans["accept"].kind) == (spans[POST].id, "producer")
    assert {spans[name].parent for name in ("claim", "send slack", "record")} == {spans["accept"].id}
    assert (spans["send slack"].kind, spans["send slack"].role) == ("consumer", "worker")
    assert (spans["slack_webhook"].parent, spans["slack_webhook"].kind) == (spans["send slack"].id, "client")
    assert [request.headers["traceparent"] for request in slack.requests] == [spans["slack_webhook"].traceparent]
    assert Notification.objects.get().traceparent == spans["accept"].traceparent
    assert spans[POST].attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 202,
        "http.route": "/api/v1/notifications",
    }
    assert (
        spans["send slack"].attributes
        | {
            "messaging.message.id": id_,
            "notifier.attempt": 1,
            "notifier.outcome": "accepted",
            "notifier.status": "sent",
            "notifier.code": "200",
            "notifier.provider": "slack_webhook",
            "notifier.possible_duplicate": False,
        }
        == spans["send slack"].attributes
    )


def test_a_request_without_a_trace_begins_one(
    collector: Collector, slack: HttpStandIn, known: dict[str, str], post: Posted
) -> None:
    with processes.web(**known, **collector.environment) as (_, url):
        post(url, BODY, traceparent="00-nonsense-01")
        (request,), (accept,) = collector.wait(POST), collector.wait("accept")
    assert (request.parent, accept.trace) == ("", request.trace)


def test_every_attempt_is_a_span_of_the_trace_and_so_is_what_an_operator_sends_again(
    collector: Collector, slack: HttpStandIn, known: dict[str, str], post: Posted
) -> None:
    environment = known | collector.environment
    slack.answer = http_answer(400, f"{TEXT} to ann@example.com, invalid_payload".encode())
    with processes.web(**environment) as (_, url), processes.worker(**environment):
        post(url, BODY, traceparent=TRACEPARENT)
        eventually(lambda: Notification.objects.filter(status="failed").exists(), what="it failed")
        collector.wait("send slack")
        slack.answer = http_answer(200, b"ok")
        services.resend([Notification.objects.get().pk], actor="ops")
        collector.wait("send slack", 2)
        collector.wait("record", 2)
        sends = sorted(collector.wait("send slack", 2), key=lambda span: span.attributes["notifier.attempt"])

    assert [(span.trace, span.attributes["notifier.attempt"]) for span in sends] == [(TRACE, 1), (TRACE, 2)]
    assert [span.attributes["notifier.outcome"] for span in sends] == ["permanent", "accepted"]
    (event,) = sends[0].events
    assert (event["name"], event["exception.type"]) == ("exception", "PermanentError")
    assert sends[1].events == []
    assert len({request.headers["traceparent"] for request in slack.requests}) == 2


def test_a_batch_is_claimed_by_a_span_of_its_own_that_links_to_the_traces(
    collector: Collector, slack: HttpStandIn, known: dict[str, str], post: Posted
) -> None:
    environment = known | collector.environment
    with processes.web(**environment) as (_, url):
        post(url, {"notifications": [BODY] * 19}, path="/batch", traceparent=TRACEPARENT)
        post(url, BODY, name="another")
        accepts = collector.wait("accept", 2)
        with processes.worker(**environment):
            eventually(all_sent, what="all sent")
            sends = collector.wait("send slack", 20)
            eventually(lambda: counted(collector, "record") == 20, what="all recorded")
            eventually(lambda: counted(collector, "claim") == 20, what="all claimed")

    (other,) = {span.trace for span in accepts} - {TRACE}
    assert sorted(span.trace for span in sends) == sorted([TRACE] * 19 + [other])
    together = [span for span in collector.spans("claim") if span.attributes["messaging.batch.message_count"] > 1]
    assert together
    for claim in together:
        assert claim.parent == ""
        assert len(claim.links) == claim.attributes["messaging.batch.message_count"]
        assert set(claim.links) <= {(span.trace, span.id) for span in accepts}


def test_a_trace_that_its_caller_does_not_sample_is_passed_on_and_not_told_of(
    collector: Collector, slack: HttpStandIn, known: dict[str, str], post: Posted
) -> None:
    environment = known | collector.environment
    with processes.web(**environment) as (_, url), processes.worker(**environment):
        post(url, BODY, traceparent=f"00-{TRACE}-{CALLER}-00")
        eventually(all_sent, what="sent")
        post(url, BODY, name="sampled")
        eventually(all_sent, what="sent")
        collector.wait("record")
    assert TRACE not in {span.trace for span in collector.spans()}
    assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-00", slack.requests[0].headers["traceparent"])


def test_what_a_provider_reports_later_is_a_span_of_the_trace(collector: Collector, post: Posted) -> None:
    twilio = sandbox.environment(8025, 1025, "sandbox") | {"PUBLIC_URL": "http://public.example"}
    with processes.web(**twilio, **collector.environment) as (_, url):
        id_ = post(url, {"channel": "sms", "to": "+14155552671", "message": TEXT}, traceparent=TRACEPARENT).json()["id"]
        place = f"/api/v1/receipts/sms/{id_}/1"
        fields = {"MessageSid": "SM" + "0" * 32, "MessageStatus": "delivered"}
        signed = RequestValidator(twilio["TWILIO_AUTH_TOKEN"]).compute_signature(
            f"{twilio['PUBLIC_URL']}{place}", fields
        )
        answer = requests.post(url + place, data=fields, headers={"X-Twilio-Signature": signed}, timeout=10)
        assert answer.status_code == 204
        (receipt,), (accept,) = collector.wait("receipt"), collector.wait("accept")
        (request,) = collector.wait("POST /api/v1/receipts/{head}/{notification_id}/{attempt}")
    assert (receipt.trace, receipt.parent) == (TRACE, accept.id)
    assert receipt.attributes["notifier.progress"] == "delivered"
    assert request.trace != TRACE


def test_spans_hold_nothing_of_anybody(collector: Collector, known: dict[str, str], post: Posted) -> None:
    recipients = {"email": "ann@example.com", "sms": "+14155552671"}
    environment = known | collector.environment | {
        "EMAIL_SENDER": "shop@example.com",
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": "1",  # where nobody listens
        "SMTP_SECURITY": "none",
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "a token of nobody",
        "TWILIO_FROM_NUMBER": "+14155550100",
        "TWILIO_BASE_URL": "http://127.0.0.1:1",
    }  # fmt: skip
    with processes.web(**environment) as (_, url), processes.worker(**environment):
        post(url, BODY, name="a key")
        for channel, to in recipients.items():
            subject = {"subject": "A subject"} if channel == "email" else {}
            post(url, {"channel": channel, "to": to, "message": TEXT, **subject}, name=channel, path="?to=bob")
            eventually(lambda name=channel: collector.spans(f"send {name}"), what=f"an attempt by {channel}")
        eventually(lambda: collector.spans("send slack"), what="the one that is sent")
    for text in (
        TEXT,
        SECRET,
        *recipients.values(),
        "A subject",
        "shop@",
        "a token",
        "bob",
        "Bearer",
        "a key",
        "+1415",
    ):
        assert text.encode() not in collector.octets


def test_lines_of_log_have_the_trace(
    collector: Collector, slack: HttpStandIn, known: dict[str, str], post: Posted
) -> None:
    environment = known | collector.environment
    slack.answer = http_answer(400, b"invalid_payload")  # a quick success has no line of its own
    with processes.web(**environment) as (web, url), processes.worker(**environment) as worker:
        post(url, BODY, traceparent=TRACEPARENT, **{"X-Correlation-ID": "order:42"})
        eventually(lambda: "send.finished" in worker.log, what="the worker's line")
        eventually(lambda: '"answer"' in web.log, what="the web's line")
        logs = lines(web.log) + lines(worker.log)
    told = {line["event"]: line.get("trace_id") for line in logs if line.get("correlation_id") == "order:42"}
    assert told == dict.fromkeys(told, TRACE)
    assert {"answer", "send.finished"} <= set(told)


def test_the_last_spans_are_sent_when_the_processes_end(
    collector: Collector, slack: HttpStandIn, known: dict[str, str], post: Posted
) -> None:
    environment = known | collector.environment | {"OTEL_BSP_SCHEDULE_DELAY": "60000"}
    with processes.web(**environment) as (web, url), processes.worker(**environment) as worker:
        post(url, BODY, traceparent=TRACEPARENT)
        eventually(all_sent, what="sent")
        assert collector.requests == []
        for running in (worker, web):
            running.terminate()
            running.wait()
    assert {span.name for span in collector.spans()} >= {POST, "accept", "claim", "send slack", "record"}
