"""A backend as somebody may have written it before requests came from SQL."""

from channels.contract import Backend
from channels.slack import SlackWebhook


class WithoutRules(SlackWebhook):
    rules = Backend.rules
