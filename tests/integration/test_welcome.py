"""The first page: who sees what of it, and what its form makes."""

from __future__ import annotations

import html
import json
import re
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client as Browser
from django.utils import timezone
from pytest_django import Settings

from channels import sandbox
from notifications import services
from notifications.api.throttling import throttle
from notifications.models import ApiKey, Client, Notification
from notifications.services import NotificationRequest
from notifications.welcome.trial import A_MINUTE
from tests.factories import AttemptFactory, NotificationFactory
from tests.integration.staff import only_looking

pytestmark = pytest.mark.django_db(transaction=True)

SANDBOX = "http://127.0.0.1:9"
HERE = {"HTTP_HOST": "localhost:8000"}
STATE = "What is running"
FORM = 'id="form"'
JSON = {"HTTP_ACCEPT": "application/json"}


@pytest.fixture(autouse=True)
def played(settings: Settings) -> Iterator[None]:
    """As `make run` has it, but for Slack, which has a provider; nothing is sent, for no worker runs."""
    options = sandbox.options(SANDBOX, 9, ["default"])
    known = settings.NOTIFIER_CHANNELS
    live = {
        "slack": {"webhooks": {"default": "https://hooks.slack.com/services/x"}},
        "email": options["email"],
        "sms": options["sms"],
    }
    settings.NOTIFIER_CHANNELS = {
        name: {**known[name], **live.get(name, {}), "sandbox": options.get(name)} for name in known
    }
    settings.SANDBOX_URL = SANDBOX
    settings.EMBEDDED = True
    settings.ALLOWED_HOSTS = ["*"]
    throttle.forget()
    yield
    throttle.forget()


@pytest.fixture
def no_sandbox(settings: Settings, played: None) -> None:
    known = settings.NOTIFIER_CHANNELS
    settings.NOTIFIER_CHANNELS = {name: {**known[name], "sandbox": None} for name in known}
    settings.SANDBOX_URL = ""


@pytest.fixture
def here() -> Browser:
    """Of whoever ran `make run`, on the machine itself."""
    return Browser(**HERE)  # type: ignore[arg-type]


def adder() -> Browser:
    user = User.objects.create_user("eve", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="add_notification"))
    browser = Browser()
    browser.force_login(user)
    return browser


def seen(browser: Browser, path: str = "/", **meta: Any) -> str:
    answer = browser.get(path, **meta)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def fields(**given: str) -> dict[str, str]:
    return {"channel": "email", "to": "ann@example.com", "message": "Hi", "key": str(uuid.uuid4())} | given


def errors(browser: Browser, status: int = 400, **given: str) -> dict[str, str]:
    answer = browser.post("/", fields(**given), **JSON)
    assert answer.status_code == status, answer.content
    told: dict[str, str] = json.loads(answer.content)["errors"]
    assert not Notification.objects.exists()
    return told


# --- who sees what -----------------------------------------------------------------------------------------


def test_on_ones_own_machine_it_says_what_runs_and_where(here: Browser) -> None:
    page = seen(here)

    assert STATE in page
    assert FORM in page
    assert "No worker is alive" in page
    assert all(f'href="{path}' in page for path in (SANDBOX, "/api/docs", "/admin/login/", "/problems", "/readyz"))
    assert "/metrics" in page


def test_it_says_where_each_channel_leads(here: Browser) -> None:
    page = re.sub(r"\s*<[^>]*>\s*", " ", seen(here))

    assert re.search(r"Slack +real provider +slack_webhook", page)
    assert re.search(r"Email +sandbox", page)
    assert re.search(r"SMS +sandbox", page)


@pytest.mark.parametrize(
    ("address", "own", "for_staff"),
    [
        ("http://127.0.0.1:8025", "http://127.0.0.1:8025/", ""),
        ("http://sandbox:8025", "http://127.0.0.1:8025/", ""),  # as compose names it, and publishes its port
        ("https://sandbox.example.com", "https://sandbox.example.com/", "https://sandbox.example.com/"),
    ],
)
def test_the_sandbox_is_linked_to_where_a_browser_finds_it(
    here: Browser, settings: Settings, address: str, own: str, for_staff: str
) -> None:
    settings.SANDBOX_URL, settings.SANDBOX_PORT = address, 8025
    pages = [(seen(here), own), (seen(adder(), HTTP_HOST="notify.example.com"), for_staff)]
    for page, link in pages:
        assert f"<code>{address}</code>" in page
        assert (f'href="{link}"' in page) if link else (f'href="{address}' not in page)


@pytest.mark.parametrize(
    "meta",
    [
        {"HTTP_HOST": "notify.example.com"},
        {"HTTP_HOST": "localhost.example.com"},
        {**HERE, "REMOTE_ADDR": "192.168.1.7"},
        {**HERE, "REMOTE_ADDR": ""},
        {**HERE, "HTTP_X_FORWARDED_FOR": "203.0.113.7"},
        {**HERE, "HTTP_FORWARDED": "for=203.0.113.7"},
    ],
    ids=["another host", "a host that only begins so", "from elsewhere", "from nowhere", "by a proxy", "by another"],
)
def test_strangers_see_a_name_and_the_documentation(meta: dict[str, str]) -> None:
    page = seen(Browser(), **meta)

    assert "Notifier" in page
    assert 'href="/api/docs"' in page
    assert 'href="/readyz"' in page
    for hidden in (STATE, FORM, SANDBOX, "password", "curl", "metrics", "<script"):
        assert hidden not in page
    assert Browser().post("/", fields(), **meta).status_code == 403
    assert not Notification.objects.exists()


def test_in_production_the_machines_own_name_opens_nothing(here: Browser, settings: Settings) -> None:
    settings.EMBEDDED = False
    assert STATE not in seen(here)


def test_a_service_with_a_public_address_believes_no_local_caller(here: Browser, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://notify.example.com"
    assert STATE not in seen(here)


def test_with_debug_a_local_host_is_enough(settings: Settings) -> None:
    settings.EMBEDDED, settings.DEBUG = False, True
    # In a container the connection comes from its network.
    assert FORM in seen(Browser(), **HERE, REMOTE_ADDR="172.17.0.1")
    assert FORM not in seen(Browser(), HTTP_HOST="notify.example.com")


def test_staff_who_may_add_see_the_state_and_the_form_and_no_path_of_the_server(settings: Settings) -> None:
    settings.EMBEDDED = False
    page = seen(adder())

    assert STATE in page
    assert FORM in page
    assert str(settings.DATA_DIR) not in page
    assert "password" not in page


def test_staff_who_may_only_look_see_what_strangers_do(settings: Settings) -> None:
    settings.EMBEDDED = False
    assert STATE not in seen(only_looking())


def test_who_may_add_but_is_no_staff_sees_what_strangers_do(settings: Settings) -> None:
    settings.EMBEDDED = False
    browser = adder()
    User.objects.filter(username="eve").update(is_staff=False)
    assert STATE not in seen(browser)


def test_without_a_sandbox_there_is_no_form_and_nothing_is_taken(here: Browser, no_sandbox: None) -> None:
    page = seen(here)

    assert FORM not in page
    assert "SANDBOX_URL" in page
    assert here.post("/", fields()).status_code == 403


def test_no_secret_is_shown_and_the_files_that_keep_them_are_named(
    here: Browser, settings: Settings, tmp_path: Path
) -> None:
    settings.ADMIN_PASSWORD_FILE = tmp_path / "admin_password"
    settings.API_KEY_FILE = tmp_path / "api_key"
    settings.ADMIN_PASSWORD_FILE.write_text("the password itself")
    settings.API_KEY_FILE.write_text("the key itself")
    page = seen(here)

    assert str(settings.ADMIN_PASSWORD_FILE) in page
    assert str(settings.API_KEY_FILE) in page
    assert "itself" not in page


def test_the_curl_line_reads_its_key_from_the_file_and_is_accepted(
    here: Browser, settings: Settings, tmp_path: Path
) -> None:
    settings.API_KEY_FILE = tmp_path / "it's a key"  # a shell must take it whole
    settings.API_KEY_FILE.write_text(services.create_api_key(Client.objects.create(name="make run")).text + "\n")
    line = html.unescape(re.findall(r"<pre[^>]*>(.*?)</pre>", seen(here), re.DOTALL)[0])
    script = f"curl() {{ printf '%s\\n' \"$@\"; }}; {line}"
    told = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()

    headers = dict(each.split(": ", 1) for each in told if ": " in each and not each.startswith("{"))
    answer = here.post(
        "/api/v1/notifications",
        told[-1],
        content_type=headers["Content-Type"],
        headers={"Authorization": headers["Authorization"], "Idempotency-Key": headers["Idempotency-Key"]},
    )
    assert "http://localhost:8000/api/v1/notifications" in told
    assert answer.status_code == 202, answer.content
    assert json.loads(answer.content)["channel"] == "email"  # which the sandbox plays, where Slack's provider is real


@pytest.fixture
def away() -> Iterator[Callable[[], None]]:
    """To be called when the database is to be away."""
    before = {name: connection.settings_dict[name] for name in ("HOST", "PORT")}

    def go() -> None:
        connection.close()
        connection.settings_dict.update(HOST="127.0.0.1", PORT="9")

    yield go
    connection.close()
    connection.settings_dict.update(before)


def test_a_database_that_is_away_is_named_and_the_page_still_comes(here: Browser, away: Callable[[], None]) -> None:
    away()
    page = seen(here)

    assert "does not answer" in page
    assert "DATABASE_URL" in page
    refused = here.post("/", fields(), **JSON)
    assert refused.status_code == 503
    assert "does not answer" in json.loads(refused.content)["errors"][""]


def test_while_nobody_knows_who_is_staff_all_see_what_strangers_do(
    settings: Settings, away: Callable[[], None]
) -> None:
    settings.EMBEDDED = False
    browser = adder()
    away()

    page = seen(browser)
    assert "API documentation" in page
    assert STATE not in page


def test_nothing_but_files_of_ours_may_run_and_nobody_keeps_the_page(here: Browser) -> None:
    answer = here.get("/")

    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "no-store" in answer.headers["Cache-Control"]


# --- the form ----------------------------------------------------------------------------------------------


def test_what_it_sends_is_a_test_of_a_client_of_its_own(here: Browser) -> None:
    answer = here.post("/", fields())

    (row,) = Notification.objects.all()
    assert (answer.status_code, answer.headers["Location"]) == (303, f"/first-run/{row.pk}")
    assert (row.client.name, row.lane, row.recipient, row.body) == ("first run", "~test:email", "ann@example.com", "Hi")
    assert row.client.rate_limit == A_MINUTE
    assert not ApiKey.objects.filter(client=row.client).exists()


@pytest.mark.parametrize(
    ("channel", "to"), [("slack", "default"), ("email", "ann@example.com"), ("sms", "+14155552671")]
)
def test_where_nobody_is_named_it_goes_to_an_example(here: Browser, channel: str, to: str) -> None:
    assert here.post("/", fields(channel=channel, to=" ")).status_code == 303
    assert Notification.objects.get().recipient == to


def test_the_same_key_twice_is_one_and_it_says_so(here: Browser) -> None:
    asked = fields()
    first, second = (json.loads(here.post("/", asked, **JSON).content) for _ in range(2))
    page = seen(here, here.post("/", asked).headers["Location"])

    assert (first["replayed"], second["replayed"], first["id"]) == (False, True, second["id"])
    assert Notification.objects.count() == 1
    assert '<p id="again" class="note">' in page


def test_lines_of_a_form_end_as_those_of_a_message(here: Browser) -> None:
    here.post("/", fields(message="one\r\ntwo"))
    assert Notification.objects.get().body == "one\ntwo"


def test_what_is_wrong_is_said_beside_its_field_in_the_words_of_the_api(here: Browser) -> None:
    assert errors(here, to="ann") == {"to": "must be one email address, such as ada@example.com, without a name"}
    assert errors(here, message=" ") == {"message": "This must not be blank."}
    assert errors(here, channel="pigeon", to="x")["channel"].startswith("must be one of slack, email, sms")
    assert "Load the page again" in errors(here, key="")[""]


def test_without_a_script_the_page_comes_back_with_what_was_written(here: Browser) -> None:
    asked = fields(to="<b>ann</b>", message="</textarea><script>")
    answer = here.post("/", asked)
    page = answer.content.decode()

    assert answer.status_code == 400
    assert "must be one email address" in page
    assert 'value="&lt;b&gt;ann&lt;/b&gt;"' in page
    assert "&lt;/textarea&gt;&lt;script&gt;" in page
    assert asked["key"] not in page  # it may have been used


def test_another_request_under_a_used_key_is_refused(here: Browser) -> None:
    asked = fields()
    here.post("/", asked)
    answer = here.post("/", {**asked, "message": "Something else"}, **JSON)

    assert answer.status_code == 422
    assert "used before" in json.loads(answer.content)["errors"][""]


def test_whoever_presses_on_and_on_is_told_to_wait(here: Browser) -> None:
    client = Client.objects.create(name="first run", rate_limit=2)
    answers = [here.post("/", fields(), **JSON) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert "2 notifications a minute" in json.loads(answers[-1].content)["errors"][""]
    assert Notification.objects.filter(client=client).count() == 2


def test_an_operator_can_switch_it_off(here: Browser) -> None:
    Client.objects.create(name="first run", is_active=False)
    assert "switched off" in errors(here)[""]


def test_it_is_posted_from_this_page_alone() -> None:
    browser = Browser(enforce_csrf_checks=True, **HERE)  # type: ignore[arg-type]
    assert browser.post("/", fields()).status_code == 403
    token = re.findall(r'csrfmiddlewaretoken" value="([^"]+)"', seen(browser))[0]
    assert browser.post("/", fields(csrfmiddlewaretoken=token)).status_code == 303


# --- its way -----------------------------------------------------------------------------------------------


def sent_one(**more: Any) -> Notification:
    client, _ = Client.objects.get_or_create(name="first run")
    made: Notification = NotificationFactory(
        client=client, channel="email", recipient="ann@example.com", lane="~test:email", correlation_id="of-it", **more
    )
    return made


def told(browser: Browser, row: Notification) -> dict[str, Any]:
    answer = browser.get(f"/first-run/{row.pk}/way")
    assert answer.status_code == 200
    body: dict[str, Any] = json.loads(answer.content)
    return body


def test_one_under_way_is_looked_at_again_within_a_quarter_of_a_second(here: Browser) -> None:
    row = sent_one(status="pending", created_at=timezone.now())
    way = told(here, row)

    assert (way["status"], way["again_in"] < 250) == ("pending", True)
    assert "waits for a worker, and none is running" in way["html"]
    assert 'http-equiv="refresh"' in seen(here, f"/first-run/{row.pk}")


def test_one_that_is_sent_shows_its_steps_and_the_answer_and_is_looked_at_no_more(here: Browser) -> None:
    row = sent_one(status="sent", attempt=1)
    AttemptFactory(notification=row, number=1, outcome="accepted", code="250", detail="queued <b>here</b>")
    way = told(here, row)

    assert way["again_in"] is None
    assert "250: queued &lt;b&gt;here&lt;/b&gt;" in way["html"]
    assert all(f"<b>{step}</b>" in way["html"] for step in ("accepted", "claimed", "sent"))
    assert "at the first attempt" in way["html"]
    assert f"/admin/notifications/notification/{row.pk}/change/" in way["html"]
    assert f"{SANDBOX}/?text=of-it" in way["html"]
    assert 'http-equiv="refresh"' not in seen(here, f"/first-run/{row.pk}")


def test_one_that_failed_says_why(here: Browser) -> None:
    row = sent_one(status="failed", attempt=1, error_code="550")
    AttemptFactory(notification=row, number=1, outcome="permanent", code="550", detail="no such mailbox")
    way = told(here, row)

    assert way["again_in"] is None
    assert "Failed: 550" in way["html"]
    assert "no such mailbox" in way["html"]


def test_nothing_that_others_sent_can_be_looked_at(here: Browser) -> None:
    own = sent_one(status="pending")
    another = NotificationFactory(client=Client.objects.create(name="another"), lane="~test:sms")
    live = NotificationFactory(client=own.client)
    for row in (another, live):
        for path in (f"/first-run/{row.pk}", f"/first-run/{row.pk}/way"):
            assert here.get(path).status_code == 404


def test_strangers_look_at_none(settings: Settings) -> None:
    row = sent_one(status="pending")
    for path in (f"/first-run/{row.pk}", f"/first-run/{row.pk}/way"):
        assert Browser(**HERE, REMOTE_ADDR="10.0.0.9").get(path).status_code == 404  # type: ignore[arg-type]


def test_its_keys_are_remembered_for_this_page_alone(here: Browser) -> None:
    asked = fields()
    here.post("/", asked)
    request = NotificationRequest(channel="email", to="ann@example.com", subject="Hi", message="Hi")
    services.accept(Client.objects.get(name="first run"), request, key=asked["key"], test=True)
    assert Notification.objects.count() == 2
