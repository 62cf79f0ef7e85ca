# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Watches a stage or a canary with the gate, on the ledger's host; the order of it is in plugin_utils/watch.py."""

from __future__ import annotations

import time
from functools import partial
from typing import Any, Callable, Sequence

from ansible import context
from ansible.utils.display import Display
from ansible_collections.gradual.rollout.plugins.action import reach
from ansible_collections.gradual.rollout.plugins.module_utils.flags.definition import flags_at
from ansible_collections.gradual.rollout.plugins.plugin_utils import lease_renewal, watch
from ansible_collections.gradual.rollout.plugins.plugin_utils.child_process import Beside, Everywhere, outcome
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet.canary import canary_look
from ansible_collections.gradual.rollout.plugins.plugin_utils.other_host import execute
from ansible_collections.gradual.rollout.plugins.plugin_utils.run_identity import orphaned

Json = dict[str, Any]

display = Display()
# Seconds for writing the flags on a host and seeing them evaluated; after that the host counts as lost.
PATIENCE = 30.0
# Seconds that the balancer gets to check a server that was just admitted.
SETTLE = 3

ARGUMENTS = {
    "ledger": {"type": "str", "required": True},
    "look": {"type": "dict", "required": True},
    "since": {"type": "float", "required": True},
    "first": {"type": "float", "default": 2.0},
    "every": {"type": "float", "required": True},
    "share": {"type": "dict"},
    "tolerance": {"type": "float", "default": 3.0},
    "stage": {
        "type": "dict",
        "options": {
            "hosts": {"type": "dict", "required": True},
            "application": {"type": "str"},
            "features": {"type": "list", "elements": "dict", "required": True},
            "processes": {"type": "dict", "default": {}},
            "certified": {"type": "int", "required": True},
            "shown": {"type": "int", "required": True},
            "expiry": {"type": "float", "required": True},
            "ends": {"type": "float", "required": True},
        },
    },
    "canary": {
        "type": "dict",
        "options": {
            "host": {"type": "str", "required": True},
            "least": {"type": "float", "required": True},
            "balancers": {"type": "list", "elements": "str", "required": True},
            "socket": {"type": "str", "required": True},
            "backend": {"type": "str", "required": True},
        },
    },
}


class ActionModule(reach.ActionModule):
    """Look until the gate has decided."""

    def _module(self, variables: Json, kept: lease_renewal.Keeper | None) -> Json:
        _validation, given = self.validate_argument_spec(
            argument_spec=ARGUMENTS,
            mutually_exclusive=[("stage", "canary")],
            required_one_of=[("stage", "canary")],
        )
        if self._task.check_mode:
            return {"changed": False, "number": 0}
        stage, canary = given["stage"] or {}, given["canary"] or {}
        plan = watch.Plan(
            since=given["since"],
            first=given["first"],
            every=given["every"],
            percent=int(given["look"]["percent"]),
            canary=canary.get("host"),
            least=canary.get("least", 0.0),
            expiry=stage.get("expiry", 0.0),
            ends=stage.get("ends", 0.0),
            shown=stage.get("shown", 0),
            tolerance=given["tolerance"],
            processes=stage.get("processes", {}),
        )
        # A callback that hides skipped tasks prints the name of a task with its result; the looks come before that.
        display.display(f"\n{self._task.name or 'Watch'}, each look as it happens:")
        return {"changed": True, **watch.watch(_Fleet(self, variables, kept, given), plan)}

    def record(self, variables: Json, kept: lease_renewal.Keeper | None, path: str, event: str, data: Json) -> Json:
        """Write one event as the module `ledger` does in a task of its own."""
        return self._record({"path": path, "events": [{"event": event, "data": data}]}, variables, kept)


class _Fleet:
    """The operations of a watch: modules on the hosts of the inventory."""

    def __init__(self, action: ActionModule, variables: Json, kept: lease_renewal.Keeper | None, given: Json) -> None:
        self.action, self.variables, self.kept, self.given = action, variables, kept, given
        self.ledger_host = str(action._host(variables))

    def _run(self, host: str, module: str, arguments: Json) -> Json:
        return execute(self.action, self.variables, host, f"gradual.rollout.{module}", arguments)

    def look(self, not_before: float, early: Sequence[str], past: Json) -> Beside:
        moment = {"since": self.given["since"], "not_before": not_before, "early": list(early), "past": past}
        arguments = {**self.given["look"], **moment}
        canary = self.given["canary"]

        def work() -> Json:
            result = self._run(self.ledger_host, "gate_look", arguments)
            return self._in_traffic(result, canary, past) if canary and not result.get("failed") else result

        return Beside(self.ledger_host, work)

    def _in_traffic(self, result: Json, canary: Json, past: Json) -> Json:
        """The look, judged again with what each balancer says of the canary after it."""
        servers = {}
        asked = {"socket": canary["socket"], "backend": canary["backend"], "settle": SETTLE}
        for balancer in canary["balancers"]:
            told = outcome(balancer, partial(self._run, balancer, "haproxy_server_info", asked))
            if told.get("failed"):
                return {**told, "msg": f"{balancer}: {told.get('msg')}"}
            servers[balancer] = told["servers"]
        return {**result, "look": canary_look(result["look"], canary["host"], servers, past)}

    def measure(self) -> Beside | None:
        share = self.given["share"]
        work = partial(self._run, self.ledger_host, "feature_share", share)
        return Beside(self.ledger_host, work) if share else None

    def extend(self) -> Everywhere:
        stage = self.given["stage"]
        expiry = int(time.time() + stage["expiry"])
        flags = flags_at(stage["features"], stage["certified"], baking=stage["shown"], expiry=expiry)
        forks = int(context.CLIARGS.get("forks") or 5)
        return Everywhere(self._writes({"flags": flags, "extends": True}), forks, PATIENCE)

    def turn_off(self) -> Everywhere:
        works = self._writes({"flags": flags_at(self.given["stage"]["features"], 0)})
        return Everywhere(works, len(works), PATIENCE, outlives=True)

    def _writes(self, wanted: Json) -> dict[str, Callable[[], Json]]:
        """Write these flags on each host, and see that every process evaluates them."""
        stage = self.given["stage"]
        common = {"application": stage["application"], "revision": int(time.time()), **wanted}
        return {
            host: partial(self._run, host, "feature_flags", {**common, **own}) for host, own in stage["hosts"].items()
        }

    def record(self, event: str, data: Json) -> Json:
        write = partial(self.action.record, self.variables, self.kept, self.given["ledger"], event, data)
        return outcome(self.ledger_host, write)

    def show(self, line: str) -> None:
        display.display(line)

    def stopped(self) -> str | None:
        if orphaned():
            return "ansible-playbook was killed, so its worker stops the watch"
        return self.kept.look() if self.kept else None
