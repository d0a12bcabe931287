"""The page where templates are written, in a real browser: a preview runs nothing that a template holds."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from notifications.models import Template
from tests.browser.chromium import PROGRAM, Page, chromium
from tests.processes import web

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed (Debian: chromium)"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(180),
]
PASSWORD = "a long enough password"
HTML = (
    "<h1 style='color: #10406f'>Order {{ order.number }}</h1><p>Dear {{ name }},<br>it is on its way:</p>"
    "<ul>{% for line in order.lines %}<li>{{ line.count }} x {{ line.name }}</li>{% endfor %}</ul>"
    "<script>parent.document.title = 'reached'</script><img src=x onerror=\"parent.document.title = 'reached'\">"
)
MESSAGE = "Dear {{ name }},\nyour order {{ order.number }} is on its way."
EXAMPLE = '{"name": "Ann", "order": {"number": 42, "lines": [{"name": "Milk & honey", "count": 2}]}}'


def log_in(page: Page, url: str) -> None:
    page.open(f"{url}/admin/")
    page.fill("#id_username", "ada")
    page.fill("#id_password", PASSWORD)
    page.click("[type=submit]")
    page.wait("#main")


def test_a_template_is_written_previewed_and_saved_and_its_html_runs_nothing() -> None:
    User.objects.create_superuser("ada", password=PASSWORD)
    made = Template.objects.create(name="order-shipped")
    with web(EMAIL_SENDER="us@example.com", SMTP_HOST="127.0.0.1") as (_, url), chromium() as page:
        log_in(page, url)
        page.open(f"{url}/admin/notifications/template/{made.pk}/versions/new/")
        page.fill("[name='email.subject']", "Order {{ order.number }}")
        page.fill("[name='email.message']", MESSAGE)
        page.fill("[name='email.html']", HTML)
        page.fill("[name='example']", EXAMPLE)
        page.run("document.querySelector('[name=channel]').value = 'email'")
        page.click("[name=_preview]")
        previewed = page.text("#preview")
        title = page.run("document.title")
        page.fill("[name='note']", "A beginning.")
        page.click("[name=_save]")
        kept = page.text(".notifier-versions")

    assert "Order 42" in previewed
    assert "your order 42 is on its way" in previewed
    assert "reached" not in title
    assert "A beginning." in kept
    assert "ada" in kept
