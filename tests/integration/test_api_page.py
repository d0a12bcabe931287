"""docs/api.md: its examples are run as they stand, and its tables are those of the code."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml
from django.conf import settings
from jsonschema import Draft202012Validator

from channels import email_backend, mail_content, slack, slack_content, twilio_sms
from channels.text import ADDRESS_LIMIT
from notifications.api.kinds import KINDS
from notifications.idempotency import LONGEST_KEY
from notifications.intake import METADATA_LIMIT
from notifications.services import MOST_IN_BATCH
from notifications.services.rendering import VARIABLES_LIMIT
from notifications.states import Status
from tests.eventually import eventually
from tests.integration.unreliable import unreliable
from tests.processes import ROOT, made, plain_environment

pytestmark = pytest.mark.timeout(240)

PAGE = (ROOT / "docs/api.md").read_text()
SCHEMA = yaml.safe_load((ROOT / "docs/openapi.yaml").read_text())


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@dataclass
class Service:
    url: str
    sandbox: str
    folder: Path
    key: str = field(repr=False)

    def run(self, *command: str, url: str = "") -> str:
        """What it printed; it must not fail."""
        environment = plain_environment(NOTIFIER_URL=url or self.url, NOTIFIER_API_KEY=self.key)
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def arrived(self, text: str, number: int) -> bool:
        with urlopen(f"{self.sandbox}/api/messages?text={quote(text)}", timeout=5) as answer:
            return bool(json.load(answer)["count"] == number)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with made() as running:
        environment = plain_environment(DATA_DIR=str(running.folder / ".data"))
        command = [sys.executable, "manage.py", "templates", "--import", "docs/templates"]
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=60, check=True)
        yield Service(running.url, running.sandbox, running.folder, running.key)


def test_every_command_of_the_page_works_as_it_is_pasted(service: Service) -> None:
    commands = blocks("sh")
    assert len(commands) == PAGE.count("```sh") >= 8

    script = "\n".join(["", *commands]).replace("\ncurl", "\necho; curl")  # each answer on a line of its own
    printed = service.run("bash", "-euo", "pipefail", "-c", script)

    answers = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    assert len(answers) == script.count("curl -sS")
    written = "Your order 43 is on its way, and should be with you on 31 January."
    for text in ("Version 42 is out.", "Please look at your card.", "Traced.", written):
        eventually(lambda text=text: service.arrived(text, 1), seconds=30, what=text)
    eventually(lambda: service.arrived("January was cold.", 2), seconds=30, what="the batch")
    one, page, moved, canceled = (next(a for a in answers if wanted(a)) for wanted in SHAPES)
    assert (one["priority"], one["attempts"], [each["id"] for each in page["results"]]) == ("high", [], [one["id"]])
    assert moved["due_at"] > one["due_at"]
    assert (canceled["id"], canceled["status"]) == (one["id"], "canceled")
    assert [traced["correlation_id"] for traced in answers[-1]["results"]] == ["4bf92f3577b34da6a3ce929d0e0e4736"]


SHAPES = (
    lambda answer: "attempts" in answer,
    lambda answer: "results" in answer,
    lambda answer: "due_at" in answer and "attempts" not in answer and answer["status"] == "pending",
    lambda answer: answer.get("status") == "canceled",
)


@pytest.mark.parametrize("language", ["python", "js"])
def test_a_program_of_the_page_sends_once_through_whatever_the_network_does(service: Service, language: str) -> None:
    (program,) = blocks(language)
    command = {"python": [sys.executable, "-c", program], "js": ["node", "--input-type=module", "--eval", program]}
    if shutil.which(command[language][0]) is None:
        pytest.skip("node is not installed (Debian: nodejs)")
    (text,) = re.findall(r"Thank you for order \d+\.", program)

    with unreliable(service.url) as front:
        printed = service.run(*command[language], url=front.url)

    assert re.match(r"[0-9a-f-]{36} (pending|sending|sent)\n[1-9]\d* text messages so far\n", printed)
    lost, refused, answered = front.posts
    assert lost[1] == refused[1] == answered[1]
    assert answered[0] - refused[0] >= 1  # the Retry-After
    eventually(lambda: service.arrived(text, 1), seconds=30, what="the message, once")


def test_a_problem_that_no_retry_mends_is_raised_by_the_programs_at_once(service: Service) -> None:
    (program,) = blocks("python")
    wrong = program.replace('channel="sms", to="+14155552671"', 'channel="sms", to="nobody"').replace(":43", ":0")
    with pytest.raises(AssertionError, match="RuntimeError: invalid: to: must be a phone number"):
        service.run(sys.executable, "-c", wrong)


def test_the_table_of_codes_is_that_of_the_code() -> None:
    rows = [
        f"| `{code}` | {kind.status.value} | {kind.title}. | {kind.advice} |"
        for code, kind in sorted(KINDS.items(), key=lambda each: each[1].status)
    ]
    table = "\n".join(["| code | status | meaning | what to do |", "|---|---|---|---|", *rows])
    (kept,) = re.findall(r"<!-- codes.*?-->\n(.*?)\n*<!-- end of codes -->", PAGE, re.DOTALL)
    assert kept == table, f"docs/api.md should have:\n{table}"


def test_every_example_of_json_is_as_the_schema_says() -> None:
    accepted, problem = (json.loads(block) for block in blocks("json"))

    for name, example in (("Accepted", accepted), ("ProblemDetails", problem)):
        schema = {"$ref": f"#/components/schemas/{name}", "components": SCHEMA["components"]}
        Draft202012Validator(schema).validate(example)
        assert set(example) == set(SCHEMA["components"]["schemas"][name]["properties"]) - {"test"}  # of test keys alone


def test_the_limits_are_those_of_the_code() -> None:
    (table,) = re.findall(r"^## Limits\n\n(.*?)\n\n", PAGE, re.DOTALL | re.MULTILINE)
    limits = [
        slack.MESSAGE_LIMIT,
        slack_content.BLOCKS_LIMIT,
        slack_content.ATTACHMENTS_LIMIT,
        slack_content.SIZE_LIMIT,
    ]
    limits += [email_backend.MESSAGE_LIMIT, email_backend.SUBJECT_LIMIT, ADDRESS_LIMIT]
    limits += [mail_content.HTML_LIMIT, mail_content.FILES_LIMIT, mail_content.FILES_SIZE_LIMIT]
    limits += [mail_content.FILE_NAME_LIMIT, mail_content.HEADERS_LIMIT, mail_content.HEADER_LIMIT]
    limits += [mail_content.REPLY_TO_LIMIT, twilio_sms.MESSAGE_LIMIT]
    limits += [15, METADATA_LIMIT, VARIABLES_LIMIT, MOST_IN_BATCH, settings.REQUEST_BODY_LIMIT]
    limits += [*set(settings.BODY_LIMITS.values())]
    limits += [LONGEST_KEY, 128]
    assert [int(number.replace(",", "")) for number in re.findall(r"(?<![-\w])\d[\d,]*", table)] == limits


def test_every_status_is_told() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| ", PAGE, re.MULTILINE)) >= {status.value for status in Status}
