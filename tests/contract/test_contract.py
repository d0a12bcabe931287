"""What every backend owes its callers, over real sockets. A new backend joins by a class in providers.py."""

from __future__ import annotations

import logging
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from time import monotonic

import pytest

from channels.contract import Backend, ChannelError, Receipt, TransientError
from tests.contract.conftest import Authority
from tests.contract.providers import SECRETS, Provider, kind, outcome, served
from tests.contract.stand_in import Drip, Instead, Rude, Silent, SpeaksFirst
from tests.eventually import eventually
from tests.ports import free_port

SHORT = timedelta(seconds=0.5)
AMPLE = 5  # seconds: far more than SHORT on a busy machine, far less than a drip takes


def _send_one(backend: Backend, provider: Provider) -> Receipt:
    with backend.session() as session:
        return session.send(provider.message)


def test_an_accepted_message_is_sent_once(provider: Provider) -> None:
    with served(provider) as stand_in:
        result = outcome(provider.backend(stand_in.port), provider.message)
        assert isinstance(result, Receipt)
        assert len(provider.taken(stand_in)) == 1


def test_the_correlation_id_goes_with_the_message(provider: Provider) -> None:
    with served(provider) as stand_in:
        outcome(provider.backend(stand_in.port), provider.message)
        assert "c0ffee-1" in provider.taken(stand_in)[0]


def test_a_refused_message_is_permanent(provider: Provider) -> None:
    with served(provider, provider.refuses_message) as stand_in:
        assert kind(outcome(provider.backend(stand_in.port), provider.message)) == "permanent"


def test_a_provider_that_asks_for_later_has_not_sent(provider: Provider) -> None:
    with served(provider, provider.asks_later) as stand_in:
        assert kind(outcome(provider.backend(stand_in.port), provider.message)) == "not sent"


def test_refused_credentials_are_a_matter_of_configuration(provider: Provider) -> None:
    with served(provider, provider.refuses_us) as stand_in:
        assert kind(outcome(provider.backend(stand_in.port), provider.message)) == "configuration"


def test_nonsense_after_the_message_leaves_its_fate_unknown(provider: Provider) -> None:
    with served(provider, provider.talks_nonsense) as stand_in:
        assert kind(outcome(provider.backend(stand_in.port), provider.message)) == "unknown"


def test_a_connection_that_ends_after_the_message_leaves_its_fate_unknown(provider: Provider) -> None:
    with served(provider, Instead.HANG_UP) as stand_in:
        assert kind(outcome(provider.backend(stand_in.port), provider.message)) == "unknown"


def test_no_answer_in_time_leaves_the_fate_unknown(provider: Provider) -> None:
    with served(provider, Instead.HANG) as stand_in:
        result = outcome(provider.backend(stand_in.port, limit=SHORT), provider.message)
        assert kind(result) == "unknown"
        assert isinstance(result, TransientError)
        assert result.code == "timeout"


def test_a_dripped_answer_does_not_hold_a_thread_past_the_deadline(provider: Provider) -> None:
    assert isinstance(provider.accepts, bytes)
    slow = Drip(provider.accepts, pause=0.2)
    with served(provider, slow) as stand_in:
        began = monotonic()
        result = outcome(provider.backend(stand_in.port, limit=SHORT), provider.message)
        assert monotonic() - began < min(AMPLE, len(slow.answer) * slow.pause)
        assert kind(result) == "unknown"


def test_nobody_listening_means_not_sent(provider: Provider) -> None:
    assert kind(outcome(provider.backend(free_port()), provider.message)) == "not sent"


def test_a_connection_closed_before_the_message_means_not_sent(provider: Provider) -> None:
    with Rude() as stand_in:
        assert kind(outcome(provider.backend(stand_in.port, tls=True), provider.message)) == "not sent"


def test_a_provider_silent_from_the_start_means_not_sent(provider: Provider) -> None:
    with Silent() as stand_in:
        began = monotonic()
        result = outcome(provider.backend(stand_in.port, limit=SHORT, tls=True), provider.message)
        assert monotonic() - began < AMPLE
        assert kind(result) == "not sent"


@pytest.mark.parametrize("fault", ["refused", "later", "nonsense", "hang_up", "hang"])
def test_a_failed_send_is_not_tried_again(provider: Provider, fault: str) -> None:
    answers = {
        "refused": provider.refuses_message,
        "later": provider.asks_later,
        "nonsense": provider.talks_nonsense,
        "hang_up": Instead.HANG_UP,
        "hang": Instead.HANG,
    }
    with served(provider, answers[fault]) as stand_in:
        outcome(provider.backend(stand_in.port, limit=SHORT), provider.message)
        assert len(provider.taken(stand_in)) == 1


def test_a_session_sends_a_batch_over_one_connection(provider: Provider) -> None:
    with served(provider) as stand_in, provider.backend(stand_in.port).session() as session:
        for _ in range(5):
            session.send(provider.message)
        assert (len(provider.taken(stand_in)), stand_in.connections) == (5, 1)


def test_batches_within_a_few_seconds_share_a_connection(provider: Provider) -> None:
    with served(provider) as stand_in:
        backend = provider.backend(stand_in.port)
        for _ in range(3):
            with backend.session() as session:
                session.send(provider.message)
        backend.close()
        assert (len(provider.taken(stand_in)), stand_in.connections) == (3, 1)


def test_two_threads_at_once_share_no_connection(provider: Provider) -> None:
    with served(provider) as stand_in:
        backend = provider.backend(stand_in.port)
        with backend.session() as session:
            session.send(provider.message)  # one is kept now
        assert isinstance(provider.accepts, bytes)
        both_wait = Drip(provider.accepts, pause=0.02)
        provider.answer(stand_in, both_wait)
        with ThreadPoolExecutor(2) as threads:
            sent = [threads.submit(_send_one, backend, provider) for _ in range(2)]
            assert all(isinstance(one.result(), Receipt) for one in sent)
        backend.close()
        assert (len(provider.taken(stand_in)), stand_in.connections) == (3, 2)


def test_a_backend_that_was_closed_connects_anew(provider: Provider) -> None:
    with served(provider) as stand_in:
        backend = provider.backend(stand_in.port)
        assert isinstance(outcome(backend, provider.message), Receipt)  # and closes it
        eventually(lambda: stand_in.ended == 1, what="the connection is closed")
        assert isinstance(outcome(backend, provider.message), Receipt)
        assert stand_in.connections == 2


def test_a_session_goes_on_after_a_refusal(provider: Provider) -> None:
    with served(provider, provider.refuses_message) as stand_in, provider.backend(stand_in.port).session() as session:
        with pytest.raises(ChannelError):
            session.send(provider.message)
        provider.answer(stand_in, provider.accepts)
        assert isinstance(session.send(provider.message), Receipt)


def test_a_session_goes_on_after_a_lost_connection(provider: Provider) -> None:
    with served(provider, Instead.HANG_UP) as stand_in, provider.backend(stand_in.port).session() as session:
        with pytest.raises(ChannelError):
            session.send(provider.message)
        provider.answer(stand_in, provider.accepts)
        assert isinstance(session.send(provider.message), Receipt)


def test_an_idle_connection_that_the_provider_closed_is_replaced(provider: Provider) -> None:
    with served(provider) as stand_in, provider.backend(stand_in.port).session() as session:
        session.send(provider.message)
        stand_in.hang_up()
        assert isinstance(session.send(provider.message), Receipt)
        assert (len(provider.taken(stand_in)), stand_in.connections) == (2, 2)


def test_an_idle_connection_closed_under_tls_is_replaced(
    provider: Provider, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.pem)
    with (
        served(provider, tls=authority.server) as stand_in,
        provider.backend(stand_in.port, tls=True).session() as session,
    ):
        session.send(provider.message)
        stand_in.hang_up()
        assert isinstance(session.send(provider.message), Receipt)
        assert (len(provider.taken(stand_in)), stand_in.connections) == (2, 2)


def test_a_dripped_answer_under_tls_keeps_to_the_deadline(
    provider: Provider, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.pem)
    assert isinstance(provider.accepts, bytes)
    slow = Drip(provider.accepts, pause=0.2)
    with served(provider, slow, tls=authority.server) as stand_in:
        began = monotonic()
        result = outcome(provider.backend(stand_in.port, limit=SHORT, tls=True), provider.message)
        assert monotonic() - began < min(AMPLE, len(slow.answer) * slow.pause)
        assert kind(result) == "unknown"


def test_a_certificate_nobody_vouches_for_stops_the_send(provider: Provider, authority: Authority) -> None:
    with served(provider, tls=authority.server) as stand_in:
        result = outcome(provider.backend(stand_in.port, tls=True), provider.message)
        assert kind(result) == "configuration"
        assert provider.taken(stand_in) == []


def test_a_port_without_tls_stops_the_send(provider: Provider) -> None:
    with SpeaksFirst() as stand_in:
        result = outcome(provider.backend(stand_in.port, tls=True), provider.message)
        assert kind(result) == "configuration"


@pytest.mark.parametrize("fault", ["refused", "later", "us", "nonsense", "hang_up", "hang", "nobody", "certificate"])
def test_no_failure_shows_a_secret(
    provider: Provider, authority: Authority, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    for logger in ("", "urllib3", "twilio"):  # whatever our own logging says of them
        caplog.set_level(logging.DEBUG, logger)
    answers = {
        "refused": provider.refuses_message,
        "later": provider.asks_later,
        "us": provider.refuses_us,
        "nonsense": provider.talks_nonsense,
        "hang_up": Instead.HANG_UP,
        "hang": Instead.HANG,
    }
    tls = authority.server if fault == "certificate" else None
    with served(provider, answers.get(fault), tls=tls) as stand_in:
        port = free_port() if fault == "nobody" else stand_in.port
        error = outcome(provider.backend(port, limit=SHORT, tls=tls is not None), provider.message)
    assert isinstance(error, ChannelError)
    shown = "".join(traceback.format_exception(error)) + repr(error) + error.detail + caplog.text
    chained = [error.__cause__, error.__context__]
    assert [secret for secret in SECRETS if secret in shown] == []
    assert chained == [None, None]


def test_nothing_stored_can_add_a_header(provider: Provider) -> None:
    with served(provider) as stand_in:
        message = provider.message._replace(correlation_id="a\r\nX-Injected: yes")
        assert kind(outcome(provider.backend(stand_in.port), message)) == "permanent"
        assert provider.taken(stand_in) == []


def test_the_same_message_is_the_same_at_every_attempt(provider: Provider) -> None:
    with served(provider) as stand_in:
        backend = provider.backend(stand_in.port)
        outcome(backend, provider.message)
        outcome(backend, provider.message._replace(attempt=2))
        first, second = provider.taken(stand_in)
        assert first == second
