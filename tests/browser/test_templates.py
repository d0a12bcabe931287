"""The page where templates are written, in a real browser: a preview runs nothing that a template holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from notifications.models import Template
from tests.browser.visits import Visits

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.timeout(180)
HTML = (
    "<h1 style='color: #10406f'>Order {{ order.number }}</h1><p>Dear {{ name }},<br>it is on its way:</p>"
    "<ul>{% for line in order.lines %}<li>{{ line.count }} x {{ line.name }}</li>{% endfor %}</ul>"
    "<script>parent.document.title = 'reached'</script><img src=x onerror=\"parent.document.title = 'reached'\">"
)
MESSAGE = "Dear {{ name }},\nyour order {{ order.number }} is on its way."
EXAMPLE = '{"name": "Ann", "order": {"number": 42, "lines": [{"name": "Milk & honey", "count": 2}]}}'


def test_a_template_is_written_previewed_and_saved_and_its_html_runs_nothing(page: Page, visits: Visits) -> None:
    visits.log_in(page)
    made = Template.objects.create(name="order-shipped")
    page.goto(f"/admin/notifications/template/{made.pk}/versions/new/")
    page.fill("[name='email.subject']", "Order {{ order.number }}")
    page.fill("[name='email.message']", MESSAGE)
    page.fill("[name='email.html']", HTML)
    page.fill("[name='example']", EXAMPLE)
    page.select_option("[name=channel]", "email")
    page.click("[name=_preview]")
    previewed = page.inner_text("#preview")
    title = page.title()
    # The browser says of the preview that it ran and loaded nothing of it, and complains of nothing else. That the
    # image was not loaded it says in its console, and, where the page is still there by then, of the request as well.
    assert all(each.endswith(("(about:srcdoc)", "/x: csp")) for each in visits.problems), visits.problems
    visits.problems.clear()
    page.fill("[name='note']", "A beginning.")
    page.click("[name=_save]")
    kept = page.inner_text(".notifier-versions")

    assert "Order 42" in previewed
    assert "your order 42 is on its way" in previewed
    assert "reached" not in title
    assert "A beginning." in kept
    assert "ada" in kept
