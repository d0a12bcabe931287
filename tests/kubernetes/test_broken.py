"""Each check, against a copy in which what it is for is broken: one that cannot fail holds nothing."""

from __future__ import annotations

import re

import pytest

from tests.kubernetes.checks import EVERY, Check, network, program, references, running, safety, scaling
from tests.kubernetes.conftest import Render
from tests.kubernetes.manifests import Manifests

# The check, what stands in the rendered overlay (a pattern), what instead, and a word of the complaint.
BROKEN: tuple[tuple[Check, str, str, str], ...] = (
    (program.variables_are_the_programs, "LOG_FORMAT:", "LOG_FORM:", "LOG_FORM is set"),
    (program.variables_are_the_programs, "name: METRICS_PORT", "name: METRICS_PORTS", "METRICS_PORTS is set"),
    (program.variables_are_the_programs, r"- \$\(CHANNEL\)", "- slack", "not in its command"),
    (program.variables_are_the_programs, "name: BROKER_URL", "name: SECRET_KEY", "no broker"),
    (program.secrets_come_by_reference, "LOG_FORMAT: json", "SECRET_KEY: abc", "SECRET_KEY has a value"),
    (program.services_make_no_variables, "enableServiceLinks: false", "enableServiceLinks: true", "variables of it"),
    (program.commands_are_those_of_compose, '"25000"', '"5000"', "not dramatiq"),
    (program.commands_are_those_of_compose, "- --no-input", "- --fake", "not python manage.py migrate"),
    (program.every_channel_has_one_worker, "channel: sms", "channel: slack", "sms has 0"),
    (program.every_channel_has_one_worker, "channel: sms", "channel: fax", "fax, which is no channel"),
    (program.limits_are_no_less_than_composes, "memory: 768Mi", "memory: 512Mi", "docker-compose.yml"),
    (program.first_containers_are_the_program, "migrate --check", "check", "does not look"),
    (program.first_containers_are_the_program, "initContainers:", "others:", "has 0 containers"),
    (running.probes_ask_what_is_there, "path: /readyz", "path: /ready", "which is not readyz"),
    (running.probes_ask_what_is_there, "- check_worker", "- check_workers", "runs"),
    (running.probes_ask_what_is_there, "name: metrics", "name: counts", "metrics, which it has not"),
    (running.liveness_asks_no_database, "path: /healthz", "path: /readyz", "while the database is away"),
    (running.grace_exceeds_the_limits, "GracePeriodSeconds: 60", "GracePeriodSeconds: 35", "given back"),
    (running.grace_exceeds_the_limits, "GracePeriodSeconds: 30", "GracePeriodSeconds: 20", "requests have ended"),
    (running.grace_exceeds_the_limits, "preStop:", "postStart:", "after SIGTERM"),
    (running.grace_exceeds_the_limits, '"25000"', '"15000"', "gives up on sends"),
    (running.one_more_before_one_less, "maxUnavailable: 0", "maxUnavailable: 1", "takes something away"),
    (safety.pods_have_no_privileges, "runAsNonRoot: true", "runAsNonRoot: false", "may be root"),
    (safety.pods_have_no_privileges, "runAsUser: 10001", "runAsUser: 10002", "the image's user"),
    (safety.pods_have_no_privileges, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "the program"),
    (safety.pods_have_no_privileges, "- ALL", "- NET_RAW", "raise its privileges"),
    (safety.pods_have_no_privileges, "automountServiceAccountToken: false", "hostPID: false", "a token"),
    (safety.images_are_pinned, "notifier:0.1.0", "notifier:latest", "that day"),
    (safety.images_are_pinned, "postgresql:18.6-standard-trixie", "postgresql", "that day"),
    (safety.namespace_is_restricted, "enforce: restricted", "enforce: baseline", "lets in"),
    (safety.namespace_is_restricted, "enforce-version: v1.35", "enforce-version: latest", "changes with"),
    (references.names_lead_somewhere, "name: notifier-secrets", "name: notifier-secret", "nobody makes"),
    (references.names_lead_somewhere, "key: uri", "key: url", "nobody makes"),
    (references.names_lead_somewhere, "serviceAccountName: notifier", "serviceAccountName: other", "ServiceAccount"),
    (references.names_lead_somewhere, r"(kind: ConfigMap\nmetadata:\n  name: )\S+", r"\1other", "no ConfigMap"),
    (references.names_lead_somewhere, "name: notifier-database\n", "name: database\n", "makes no"),
    (references.selectors_find_pods, r"channel: sms\n  unhealthy", "channel: fax\n  unhealthy", "selects no pod"),
    (references.ports_by_name_exist, "targetPort: http", "targetPort: https", "https, which is not there"),
    (references.ports_by_name_exist, "port: metrics\n  selector", "port: counts\n  selector", "counts"),
    (references.ports_by_name_exist, r"port:\n              name: http", "port:\n              name: tls", "tls"),
    (network.policies_name_ports_that_are_open, "port: 8000\n", "port: 8001\n", "8001"),
    (network.policies_name_ports_that_are_open, "port: 5672\n", "port: 5673\n", "5673"),
    (network.nothing_is_open_that_no_policy_names, "port: 9100\n      protocol", "port: 1\n      protocol", "metrics"),
    (
        network.nothing_is_open_that_no_policy_names,
        r"podSelector: \{\}\n  policyTypes:\n  - Ingress\n",
        "podSelector: {}\n  policyTypes:\n",
        "allowed",
    ),
    (network.workers_reach_nothing_private, "        - 169.254.0.0/16\n", "", "169.254.169.254"),
    (network.workers_reach_nothing_private, "2000::/3", "::/0", "fd00::1"),
    (network.workers_reach_nothing_private, "port: 587", "port: 25", "25"),
    (scaling.autoscalers_own_the_replicas, "revisionHistoryLimit: 3", "replicas: 3", "of its own"),
    (scaling.autoscalers_own_the_replicas, "minReplicas: 2", "minReplicas: 1", "left alone"),
    (
        scaling.workers_scale_by_their_own_channel,
        "channel: sms\n      target",
        "channel: email\n      target",
        "waits in email",
    ),
    (scaling.connections_fit_the_database, 'max_connections: "500"', 'max_connections: "400"', "may be wanted"),
)


@pytest.mark.parametrize(
    ("check", "right", "wrong", "complaint"), BROKEN, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_broken_copy_is_complained_of(render: Render, check: Check, right: str, wrong: str, complaint: str) -> None:
    broken, times = re.subn(right, wrong, render("overlays/production"))
    assert times, f"{right!r} is not there to be broken"
    assert [said for said in check(Manifests.parse(broken)) if complaint in said]


def test_every_check_was_broken() -> None:
    assert {check for check, *_ in BROKEN} == set(EVERY)
