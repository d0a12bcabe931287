"""What must be true of the manifests: each check yields a sentence for each thing that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from tests.kubernetes.checks import network, program, references, running, safety, scaling
from tests.kubernetes.manifests import Manifests

Check = Callable[[Manifests], Iterator[str]]

EVERY: Final[tuple[Check, ...]] = (
    program.variables_are_the_programs,
    program.secrets_come_by_reference,
    program.services_make_no_variables,
    program.commands_are_those_of_compose,
    program.every_channel_has_one_worker,
    program.limits_are_no_less_than_composes,
    program.first_containers_are_the_program,
    running.probes_ask_what_is_there,
    running.liveness_asks_no_database,
    running.grace_exceeds_the_limits,
    running.one_more_before_one_less,
    safety.pods_have_no_privileges,
    safety.images_are_pinned,
    safety.namespace_is_restricted,
    references.names_lead_somewhere,
    references.selectors_find_pods,
    references.ports_by_name_exist,
    network.policies_name_ports_that_are_open,
    network.nothing_is_open_that_no_policy_names,
    network.workers_reach_nothing_private,
    scaling.autoscalers_own_the_replicas,
    scaling.workers_scale_by_their_own_channel,
    scaling.connections_fit_the_database,
)
