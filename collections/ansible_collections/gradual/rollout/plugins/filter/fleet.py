# Copyright: the Gradual project
# GNU General Public License v3.0 or later (see LICENSES/GPL-3.0-or-later.txt)
"""Pure functions of module_utils for roles; each is documented in the YAML file of its name."""

from __future__ import annotations

from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils import (
    canary,
    contract_gate,
    flagd,
    flaglint,
    fleet,
    lease,
    own_word,
    primary,
    rollout,
    serving,
    watching,
)


class FilterModule:
    """Entry point for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {
            function.__name__: function
            for function in (
                canary.canary_look,
                canary.canary_watch,
                contract_gate.contract_objections,
                flagd.labels_of,
                flagd.shown_at,
                flaglint.flag_notes,
                flaglint.flag_problems,
                fleet.fleet_problems,
                fleet.flags_at,
                fleet.found_out_of_traffic,
                fleet.hours_finished,
                fleet.in_line,
                fleet.opening_sentence,
                fleet.probe_failures,
                fleet.probes,
                fleet.probes_of,
                fleet.releases_on_hosts,
                fleet.restart_is_felt,
                fleet.servers_on_balancers,
                fleet.smoke_events,
                fleet.smoke_now,
                fleet.smoke_of,
                lease.begins,
                lease.same_release,
                own_word.fleet_differences,
                own_word.host_differences,
                own_word.still_runs,
                primary.database_problems,
                rollout.outcome_of,
                serving.out_of_traffic,
                serving.strangers,
                serving.switched_hosts,
                serving.up_before,
                watching.alarm,
            )
        }
