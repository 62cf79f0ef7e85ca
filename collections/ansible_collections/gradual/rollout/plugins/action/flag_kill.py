# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Kills a flag on every host at once, or allows it again; a host that is lost delays no other."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from ansible.utils.display import Display
from ansible_collections.gradual.rollout.plugins.action import reach
from ansible_collections.gradual.rollout.plugins.module_utils.flags.kill_result import summary
from ansible_collections.gradual.rollout.plugins.plugin_utils import lease_renewal
from ansible_collections.gradual.rollout.plugins.plugin_utils.child_process import Everywhere
from ansible_collections.gradual.rollout.plugins.plugin_utils.fleet import kill
from ansible_collections.gradual.rollout.plugins.plugin_utils.other_host import execute
from ansible_collections.gradual.rollout.plugins.plugin_utils.run_identity import person

Json = dict[str, Any]

display = Display()
# Seconds that a host gets for everything but the verification; after that it counts as lost. A connection that cannot
# be made fails sooner.
PATIENCE = 30.0
# Between two looks at the hosts that are at work, in seconds.
PAUSE = 0.02

ARGUMENTS = {
    "flag": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["killed", "allowed"], "default": "killed"},
    "hosts": {"type": "dict", "required": True},
    "by": {"type": "str"},
    "reason": {"type": "str"},
    "timeout": {"type": "float", "default": 8.0},
}


class ActionModule(reach.ActionModule):
    """Run feature_flags on every host at once, from the controller; the host of the task itself is not contacted."""

    def _module(self, variables: Json, _kept: lease_renewal.Keeper | None) -> Json:
        _validation, given = self.validate_argument_spec(argument_spec=ARGUMENTS)
        if not given["flag"].strip():
            return {"failed": True, "msg": "flag: got nothing, expected the key of a feature: -e flag=search"}
        flag, killing, by = given["flag"], given["state"] == "killed", given["by"] or person()
        check_mode, now = bool(self._task.check_mode), time.time()
        common = {
            "state": given["state"],
            "flags": [{"flag": flag}],
            "revision": int(now),
            "at": now,
            "by": by,
            "reason": given["reason"] or "",
            "timeout": given["timeout"],
        }
        works = {
            host: partial(
                execute,
                self,
                variables,
                host,
                "gradual.rollout.feature_flags",
                {**common, **own},
                check_mode=check_mode,
            )
            for host, own in given["hosts"].items()
        }
        began = time.monotonic()
        jobs = Everywhere(works, len(works), PATIENCE + given["timeout"], outlives=True)
        shown: set[str] = set()
        while True:
            results = jobs.result()
            for host in [host for host in jobs.ended if host not in shown]:
                shown.add(host)
                seconds = time.monotonic() - began
                display.display(kill.line(flag, host, jobs.ended[host], killing, check_mode, seconds))
            if results is not None:
                break
            time.sleep(PAUSE)
        jobs.end()
        told = summary(flag, results, killing, check_mode)
        diffs = [_of_host(host, result["diff"]) for host, result in sorted(results.items()) if result.get("diff")]
        return {**told, "by": by, "diff": diffs}


def _of_host(host: str, diff: Json) -> Json:
    """The diff of a host's file, with the host in its headers."""
    return {**diff, **{key: f"{host}: {diff[key]}" for key in ("before_header", "after_header")}}
