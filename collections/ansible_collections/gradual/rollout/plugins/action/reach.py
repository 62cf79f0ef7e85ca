# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs every module of this collection; a host that is lost meanwhile becomes an ordinary failure.

Ansible runs neither rescue nor always for a host that is unreachable, and a rollout must go back by itself just
then. So the loss of the connection is told as `failed` with `lost_host`, which rescue sees.
For `ledger` it also says who writes, finds out whether the holder of the lease died on this controller, and waits with
the lease in hand where `hold_until` says so.
"""

from __future__ import annotations

import time
from typing import Any

from ansible import constants
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.gradual.rollout.plugins.plugin_utils.holder import at_work, has_stopped, holder, is_dead, orphaned

display = Display()
# Between two looks at whether the run is still there, in seconds.
PAUSE = 1.0
LEASE_SECONDS = 90


def clock_off(clock: float, began: float, ended: float) -> float:
    """By how many seconds, at the least, a host's clock is off, read between these two times of the controller's."""
    return round(clock - min(max(clock, began), ended), 1)


class ActionModule(ActionBase):
    """Run the module of the task's name on the task's host."""

    _supports_check_mode = True
    _supports_async = False
    _lost = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's result, or a failure that names the lost host."""
        variables = task_vars or {}
        try:
            result: dict[str, Any] = super().run(tmp, variables)
            with at_work(constants.DEFAULT_LOCAL_TMP):
                result.update(self._module(variables))
        except AnsibleConnectionFailure as error:
            result = self._failure(str(error), variables)
        if result.get("unreachable"):
            result = self._failure(str(result.get("msg", "")), variables)
        return result

    def cleanup(self, force: bool = False) -> None:
        """Remove temporary files, where the host is there to do it."""
        if self._lost:
            return
        try:
            super().cleanup(force)
        except AnsibleConnectionFailure as error:
            display.vvv(f"temporary files are left behind: {error}")

    def _module(self, variables: dict[str, Any]) -> dict[str, Any]:
        arguments = dict(self._task.args)
        is_ledger = self._task.action.rpartition(".")[2] == "ledger"
        if is_ledger:
            arguments.setdefault("holder", holder())
            if variables.get("gradual_dead_holder"):
                arguments.setdefault("dead_holder", str(variables["gradual_dead_holder"]))
        began = time.time()
        result: dict[str, Any] = self._execute_module(module_args=arguments, task_vars=variables)
        if "clock" in result:
            result["clock_off"] = clock_off(float(result["clock"]), began, time.time())
        other = (result.get("lease") or {}).get("holder") if is_ledger and result.get("failed") else None
        if other and is_dead(other) and has_stopped(other, constants.DEFAULT_LOCAL_TMP):
            display.vvv(f"{other}, who holds the lease, is dead: taking over")
            result = self._execute_module(module_args={**arguments, "dead_holder": other}, task_vars=variables)
        if is_ledger and arguments.get("hold_until") is not None and not result.get("failed") and not self._task.check_mode:
            result.update(self._hold(arguments, float(result["now"]), variables))
        return result

    def _hold(self, arguments: dict[str, Any], now: float, variables: dict[str, Any]) -> dict[str, Any]:
        """Wait until the ledger host's clock (`now` at this moment) says hold_until, and renew the lease three times in its length.

        Returns the renewed `now`, or the failure: of the renewal, or because the run that waits was killed and only this worker is left.
        """
        ends = time.monotonic() + float(arguments["hold_until"]) - now
        began = renewed = time.monotonic()
        often = float(arguments.get("lease_seconds") or LEASE_SECONDS) / 3
        while (left := ends - time.monotonic()) > 0:
            time.sleep(min(left, PAUSE))
            if orphaned():
                return {"failed": True, "msg": "The run that waited is dead; its lease is not renewed any more"}
            if time.monotonic() - renewed >= often:
                again: dict[str, Any] = self._execute_module(module_args={**arguments, "events": []}, task_vars=variables)
                if again.get("failed") or again.get("unreachable"):
                    return again
                renewed = time.monotonic()
        return {"now": round(now + time.monotonic() - began, 3)}

    def _failure(self, reason: str, variables: dict[str, Any]) -> dict[str, Any]:
        self._lost = True
        self._connection._shell.tmpdir = None
        host = self._task.delegate_to or variables.get("inventory_hostname") or self._connection.host
        said = " ".join(reason.split()).rstrip(":")
        return {
            "failed": True,
            "changed": False,
            "lost_host": str(host),
            "msg": f"Host {host} was lost while {self._task.action.rpartition('.')[2]} ran; what it had done by then is not known. {said}",
        }
