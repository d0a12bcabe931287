"""The provider fails in every way it can: what it did not get is sent, and what it may have twice says so."""

from __future__ import annotations

import ssl

import pytest
import trustme

from channels.sandbox.faults import Fault, Kind
from notifications import services
from notifications.models import Attempt, LaneState, Notification
from notifications.outbox import lanes
from tests.eventually import eventually
from tests.faults.checks import Findings
from tests.faults.proxy import Proxy
from tests.faults.site import Site

pytestmark = pytest.mark.django_db(transaction=True)

POSTS = 12
TIMES = 2
TAKEN_UNCONFIRMED = {
    "dropped after reading": Fault(kind=Kind.DROP_AFTER, times=TIMES),
    "500 after sending": Fault(kind=Kind.STATUS, status=500, taken=True, times=TIMES),
    "a 200 that says something else": Fault(
        kind=Kind.STATUS, status=200, body="<html>Welcome to our Wi-Fi", taken=True, times=TIMES
    ),
    "hung": Fault(kind=Kind.HANG, taken=True, times=1),
}
STORM = 8  # answers of 429


def texts(name: str) -> list[str]:
    return [f"{name} {n}" for n in range(POSTS)]


def begin(site: Site, **faults: list[Fault]) -> None:
    site.provider.faults.replace(faults)
    site.start_web()
    site.start_worker(threads=24)


def again(found: Findings, *channels: str) -> int:
    """Messages that came once more than needed: a retry may meet the next fault, and so one notification several."""
    of_channel = Notification.objects.filter(channel__in=channels, id__in=found.doubled)
    return sum(found.doubled[id_] - 1 for id_ in of_channel.values_list("id", flat=True))


def test_whatever_befalls_each_channel_every_message_arrives_and_every_double_is_marked(site: Site) -> None:
    dropped, lied, garbled, hung = TAKEN_UNCONFIRMED.values()
    limited = Fault(kind=Kind.STATUS, status=429, retry_after="1", times=4)
    begin(site, slack=[hung, dropped, lied, garbled, limited], email=[dropped], sms=[dropped, lied])
    for channel in ("slack", "email", "sms"):
        site.post(*texts(channel), channel=channel)
    site.settle()

    found = site.check(excused=["unknown"])
    assert again(found, "slack") == 3 * TIMES + 1
    assert again(found, "email") == TIMES
    unknown = Notification.objects.filter(status="unknown")
    assert set(unknown.values_list("channel", flat=True)) == {"sms"}, "held, because it costs money"
    assert unknown.count() == 2 * TIMES
    services.resend(set(unknown.values_list("id", flat=True)), actor="an operator")
    site.settle()
    assert again(site.check(), "slack", "email", "sms") == 4 * TIMES + 1, "of those that were held none came again"


def test_noise_is_a_doubt_and_neither_nobodys_certificate_nor_a_name_that_is_not_found_is_one(site: Site) -> None:
    site.start_web()
    with (
        Proxy(("127.0.0.1", site.provider.http_port)) as noisy,
        Proxy(("127.0.0.1", site.provider.smtp_port), tls=certificate()) as nobodys,
    ):
        noisy.garbage = True
        worker, _ = site.start_worker(
            threads=24,
            SMTP_PORT=str(nobodys.port),
            SMTP_SECURITY="tls",
            TWILIO_BASE_URL="https://nowhere.invalid",
            **through(noisy, site, "SLACK_WEB_HOOK_URL"),
        )
        for channel in ("slack", "email", "sms"):
            site.post(f"to {channel}", channel=channel)
        eventually(lambda: LaneState.objects.exists(), seconds=60, what="a pause of the lane without a certificate")
        eventually(
            lambda: Notification.objects.filter(tries__gt=0).count() == 2, seconds=60, what="a try of the others"
        )
        worker.terminate()
        assert worker.wait(30) == 0
    first = dict(Attempt.objects.filter(number=1).values_list("notification__channel", "outcome"))
    assert first == {"slack": "in_doubt", "email": "released", "sms": "transient"}
    assert {message.channel for message in site.provider.mailbox.messages()} == {"slack"}

    site.start_worker(threads=24)
    lanes.resume("email")
    site.settle()
    doubled = Notification.objects.filter(id__in=site.check().doubled)
    assert set(doubled.values_list("channel", flat=True)) == {"slack"}


@pytest.mark.slow
@pytest.mark.parametrize("fault", TAKEN_UNCONFIRMED.values(), ids=TAKEN_UNCONFIRMED)
def test_what_was_taken_and_not_confirmed_is_sent_again_and_marked(site: Site, fault: Fault) -> None:
    begin(site, slack=[fault])
    site.post(*texts("slack"))
    site.settle()

    found = site.check()
    assert again(found, "slack") == fault.times
    assert set(found.doubled) == set(
        Attempt.objects.filter(possible_duplicate=True).values_list("notification_id", flat=True)
    )


@pytest.mark.slow
def test_a_mail_server_that_hangs_after_the_dot_may_have_the_mail_and_the_next_attempt_says_so(site: Site) -> None:
    begin(site, email=[Fault(kind=Kind.HANG, taken=True, times=1)])
    site.post(*texts("email"), channel="email")
    site.settle()

    assert len(site.check().doubled) == 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", TAKEN_UNCONFIRMED.values(), ids=TAKEN_UNCONFIRMED)
def test_a_text_message_that_was_taken_and_not_confirmed_is_held(site: Site, fault: Fault) -> None:
    begin(site, sms=[fault])
    site.post(*texts("sms"), channel="sms")
    site.settle()

    assert not site.check(excused=["unknown"]).doubled
    assert Notification.objects.filter(status="unknown").count() == fault.times


@pytest.mark.slow
def test_a_storm_of_429_costs_no_try_and_doubles_nothing(site: Site) -> None:
    begin(site, slack=[Fault(kind=Kind.STATUS, status=429, retry_after="1", times=STORM)])
    site.post(*texts("slack"))
    eventually(lambda: site.provider.faults.shown()["slack"][0]["befell"] == STORM, seconds=60, what="the storm")
    site.settle()

    assert not Notification.objects.filter(tries__gt=0).exists()
    assert Attempt.objects.filter(outcome="rate_limited").count() == STORM
    site.check_no_doubt()


@pytest.mark.slow
def test_answers_that_are_noise_are_doubts_where_a_message_was_written(site: Site) -> None:
    with (
        Proxy(("127.0.0.1", site.provider.http_port)) as web,
        Proxy(("127.0.0.1", site.provider.smtp_port)) as mail,
    ):
        web.garbage = mail.garbage = True
        site.start_web()
        site.start_worker(threads=24, SMTP_PORT=str(mail.port), **through(web, site, "SLACK_WEB_HOOK_URL"))
        site.post("to slack")
        site.post("by mail", channel="email")
        eventually(lambda: Notification.objects.filter(tries__gt=0).count() == 2, what="a try of each")
        web.garbage = mail.garbage = False
        site.settle()

    outcomes = dict(Attempt.objects.filter(number=1).values_list("notification__channel", "outcome"))
    assert outcomes == {"slack": "in_doubt", "email": "transient"}, "a relay that greets with noise got no mail"
    doubled = Notification.objects.filter(id__in=site.check().doubled)
    assert set(doubled.values_list("body", flat=True)) == {"to slack"}


@pytest.mark.slow
@pytest.mark.parametrize(
    # A web server that is spoken TLS to and speaks none may also be silent: that is a hang like any other.
    ("proper", "channels"),
    [(False, ["email"]), (True, ["slack", "email", "sms"])],
    ids=["no TLS at all", "a certificate of nobody's"],
)
def test_without_verified_tls_nothing_is_sent_or_failed_until_it_is_mended(
    site: Site, proper: bool, channels: list[str]
) -> None:
    tls = certificate() if proper else None
    site.start_web()
    with (
        Proxy(("127.0.0.1", site.provider.http_port), tls=tls) as web,
        Proxy(("127.0.0.1", site.provider.smtp_port), tls=tls) as mail,
    ):
        secure = through(web, site, "SLACK_WEB_HOOK_URL", "TWILIO_BASE_URL", scheme="https")
        worker, _ = site.start_worker(threads=24, SMTP_PORT=str(mail.port), SMTP_SECURITY="tls", **secure)
        for channel in channels:
            site.post(*texts(channel), channel=channel)
        eventually(lambda: LaneState.objects.count() == len(channels), what="a pause of each lane")
        worker.terminate()
        assert worker.wait() == 0
    assert site.provider.mailbox.taken == 0
    assert Notification.objects.filter(status="pending", tries=0).count() == len(channels) * POSTS

    site.start_worker(threads=24)
    for lane in LaneState.objects.values_list("lane", flat=True):
        lanes.resume(lane)
    site.settle()
    site.check_no_doubt()


@pytest.mark.slow
def test_while_the_providers_name_is_not_found_nothing_is_doubted(site: Site) -> None:
    site.start_web()
    nowhere = "nowhere.invalid"
    worker, _ = site.start_worker(
        threads=24,
        SMTP_HOST=nowhere,
        SLACK_WEB_HOOK_URL=f"https://{nowhere}/services/T0/B0/x",
        TWILIO_BASE_URL=f"https://{nowhere}",
    )
    for channel in ("slack", "email", "sms"):
        site.post(f"to {channel}", channel=channel)
    eventually(lambda: Notification.objects.filter(tries__gt=0).count() == 3, seconds=60, what="a try of each")
    worker.terminate()
    assert worker.wait(30) == 0
    assert set(Attempt.objects.values_list("outcome", flat=True)) <= {"transient", "released"}

    site.start_worker(threads=24)
    site.settle(seconds=90)
    site.check_no_doubt()


def through(proxy: Proxy, site: Site, *names: str, scheme: str = "http") -> dict[str, str]:
    """These variables of the stand-in's, but by way of the proxy."""
    direct, way = f"http://127.0.0.1:{site.provider.http_port}", f"{scheme}://127.0.0.1:{proxy.port}"
    return {name: site.provider.environment()[name].replace(direct, way) for name in names}


def certificate() -> ssl.SSLContext:
    """For this address, from an authority that nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context
