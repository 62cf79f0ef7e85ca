# Copyright: the Gradual project
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt)
"""Pure functions of module_utils and plugin_utils for roles; each is documented in the YAML file of its name."""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.application import contract
from ansible_collections.gradual.rollout.plugins.module_utils.flags import definition as flag_definition
from ansible_collections.gradual.rollout.plugins.module_utils.flags import lint as flag_lint
from ansible_collections.gradual.rollout.plugins.module_utils.ledger import lease
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.state import outcome_of
from ansible_collections.gradual.rollout.plugins.module_utils.observe import health
from ansible_collections.gradual.rollout.plugins.plugin_utils import progress_text, responses
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet import (
    canary,
    contract_gate,
    primary,
    reported_release,
    serving,
    waves,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet import hosts as fleet_hosts


class FilterModule:
    """Entry point for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {
            function.__name__: function
            for function in (
                canary.canary_watch,
                contract.contract_notes,
                contract.contract_paths,
                contract.internal_paths,
                contract_gate.contract_objections,
                flag_definition.flags_at,
                flag_definition.labels_of,
                flag_definition.shown_at,
                flag_lint.flag_notes,
                flag_lint.flag_problems,
                fleet_hosts.fleet_problems,
                fleet_hosts.found_out_of_traffic,
                fleet_hosts.hours_finished,
                fleet_hosts.opening_sentence,
                fleet_hosts.probe_failures,
                fleet_hosts.probes,
                fleet_hosts.probes_of,
                fleet_hosts.released_to_all,
                fleet_hosts.releases_on_hosts,
                fleet_hosts.restart_is_felt,
                fleet_hosts.servers_on_balancers,
                fleet_hosts.smoke_events,
                fleet_hosts.smoke_now,
                fleet_hosts.smoke_of,
                lease.begins,
                lease.same_release,
                reported_release.fleet_differences,
                reported_release.host_differences,
                reported_release.still_runs,
                progress_text.replay_sentence,
                primary.database_problems,
                responses.responses_due,
                responses.responses_events,
                outcome_of,
                serving.out_of_traffic,
                serving.strangers,
                serving.switched_hosts,
                serving.up_before,
                waves.host_events,
                waves.switched_to,
                waves.wave_sizes,
                health.alarm,
            )
        }
