# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs every module of this collection; a host that is lost meanwhile becomes an ordinary failure.

Ansible runs neither rescue nor always for a host that is unreachable, and a rollout must go back by itself just then.
So the loss of the connection is told as `failed` with `lost_host`, which rescue sees. While a module runs, the lease
that the run holds is renewed (plugin_utils/lease_renewal.py); a run that has lost it fails. For `ledger` it also says
who writes, finds out whether the holder of the lease died on this controller, waits until the lease of a run that does
not renew it has expired, and waits while it holds the lease where `hold_until` says so.
"""

from __future__ import annotations

import time
from typing import Any, Mapping

from ansible import constants
from ansible.errors import AnsibleConnectionFailure
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.lease import LONGEST
from ansible_collections.gradual.rollout.plugins.plugin_utils import lease_renewal
from ansible_collections.gradual.rollout.plugins.plugin_utils.other_host import execute
from ansible_collections.gradual.rollout.plugins.plugin_utils.run_identity import (
    at_work,
    has_stopped,
    holder,
    is_alive,
    is_dead,
    orphaned,
)

display = Display()
LEDGER = "gradual.rollout.ledger"
# Between two looks at whether the run is still there, in seconds.
PAUSE = 1.0
# Between two attempts at a lease that another run holds, and the longest that is waited for it altogether.
ATTEMPT = 5.0
WAIT = LONGEST + 3 * ATTEMPT


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
                result.update(self._kept(variables))
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

    def _kept(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Run the module, and keep the lease of the run meanwhile."""
        if self._is_ledger and boolean(variables.get("rollback_without_ledger", False), strict=False):
            return self._unrecorded()
        if self._is_ledger and self._task.args.get("hold_until") is None:
            return self._module(variables, None)
        with lease_renewal.Keeper(constants.DEFAULT_LOCAL_TMP, lambda note: self._renew(note, variables)) as kept:
            result = self._module(variables, kept)
        if kept.lost:
            said = f"{result.get('msg')} {kept.lost}" if result.get("failed") else kept.lost
            result = {**result, "failed": True, "msg": said, "lease": result.get("lease") or {}}
        return result

    def _module(self, variables: dict[str, Any], kept: lease_renewal.Keeper | None) -> dict[str, Any]:
        arguments = dict(self._task.args)
        if self._is_ledger:
            return self._record(arguments, variables, kept)
        began = time.time()
        result: dict[str, Any] = self._execute_module(module_args=arguments, task_vars=variables)
        if "clock" in result:
            result["clock_off"] = clock_off(float(result["clock"]), began, time.time())
        return result

    # --- the ledger ---------------------------------------------------------------------------------------------

    @property
    def _is_ledger(self) -> bool:
        return str(self._task.action).rpartition(".")[2] == "ledger"

    def _unrecorded(self) -> dict[str, Any]:
        """A person has said that the ledger is lost: nothing is asked of its host, and what would have been recorded is
        shown."""
        if self._task.args.get("state", "recorded") not in ("recorded", "released"):
            return {
                "failed": True,
                "msg": (
                    "rollback_without_ledger is for rollback.yml alone; to roll a release out, leave it out and mend"
                    " the ledger"
                ),
            }
        told = [
            f"{event.get('event')} {event.get('data') or ''}".strip() for event in self._task.args.get("events") or []
        ]
        return {
            "changed": False,
            "added": [],
            "rollout": None,
            "now": time.time(),
            "msg": f"without the ledger, not recorded: {'; '.join(told) or 'nothing'}",
        }

    def _record(
        self, arguments: dict[str, Any], variables: dict[str, Any], kept: lease_renewal.Keeper | None
    ) -> dict[str, Any]:
        """Run `ledger`: as whom, and what to do when another run holds the lease. Remembers whether this run holds it
        after that."""
        arguments.setdefault("holder", holder())
        note = {
            "host": str(self._host(variables)),
            "path": str(arguments.get("path")),
            "holder": str(arguments["holder"]),
        }
        owned = lease_renewal.held(constants.DEFAULT_LOCAL_TMP) == note
        if owned:
            arguments.setdefault("owned", True)
        elif boolean(variables.get("gradual_take_over", False), strict=False):
            arguments.setdefault("take_over", True)
        result = self._write(arguments, variables)
        other = (result.get("lease") or {}).get("holder") if result.get("failed") else None
        if other and is_dead(other) and has_stopped(other, constants.DEFAULT_LOCAL_TMP):
            display.vvv(f"{other}, who holds the lease, is dead: taking over")
            result = self._write({**arguments, "dead_holder": other}, variables)
        elif other and not owned and not is_alive(other) and not self._task.check_mode:
            result = self._wait(arguments, result, variables)
        if self._task.check_mode:
            return result
        if not result.get("failed") and not result.get("unreachable"):
            lease = (result.get("rollout") or {}).get("lease") or {}
            if lease.get("held") and lease.get("holder") == note["holder"]:
                lease_renewal.remember(constants.DEFAULT_LOCAL_TMP, note)
            elif owned:
                lease_renewal.forget(constants.DEFAULT_LOCAL_TMP)
            if arguments.get("hold_until") is not None:
                result.update(self._hold(float(arguments["hold_until"]), float(result["now"]), kept))
        return result

    def _write(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = self._execute_module(module_name=LEDGER, module_args=arguments, task_vars=variables)
        return result

    def _wait(self, arguments: dict[str, Any], result: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Another run holds the lease: wait until it has expired, and go on; refuse as soon as that run is seen to
        renew it.

        A module that a killed run has left may still write in the first seconds, so what the second attempt sees is
        what must not change.
        """
        until = time.monotonic() + WAIT
        lease, attempts = result["lease"], 0
        if float(lease.get("left") or 0) > WAIT:
            return result
        display.display(
            f"Locked by {lease['holder']} until {lease['until']}; waiting up to {LONGEST} s for that. To take over at"
            " once: -e gradual_take_over=true"
        )
        while time.monotonic() < until:
            time.sleep(min(ATTEMPT, max(0.5, float(lease.get("left") or 0) + 0.5)))
            result = self._write(arguments, variables)
            seen = result.get("lease") if result.get("failed") else None
            if not seen:
                return result
            attempts += 1
            renewed = seen.get("until") != lease.get("until") and attempts > 1
            if renewed or seen.get("holder") != lease.get("holder"):
                return {
                    **result,
                    "msg": (
                        f"{seen.get('holder')} is at work and has just renewed its lock, so nothing is done here."
                        f" {result.get('msg')}"
                    ),
                }
            lease = seen
        return result

    def _hold(self, until: float, now: float, kept: lease_renewal.Keeper | None) -> dict[str, Any]:
        """Wait until the ledger host's clock (`now` at this moment) says so; the lease is renewed meanwhile like during
        any module.

        Returns the new `now`, or the failure: the lease is lost, or the run that waits was killed and only this worker
        is left.
        """
        began = time.monotonic()
        while (left := began + until - now - time.monotonic()) > 0:
            time.sleep(min(left, PAUSE))
            if orphaned():
                return {"failed": True, "msg": "The run that waited is dead; its lease is not renewed any more"}
            if kept and kept.look():
                return {"failed": True, "msg": f"The wait ends after {time.monotonic() - began:.0f} s."}
        return {"now": round(now + time.monotonic() - began, 3)}

    def _renew(self, note: Mapping[str, str], variables: dict[str, Any]) -> Mapping[str, Any]:
        """Renew the lease of the note once, over a connection of its own; runs in the keeper's process."""
        asked = {"path": note["path"], "holder": note["holder"], "state": "renewed"}
        return execute(self, variables, note["host"], LEDGER, asked)

    # --- a host that is lost ------------------------------------------------------------------------------------

    def _host(self, variables: dict[str, Any]) -> Any:
        return self._task.delegate_to or variables.get("inventory_hostname") or self._connection.host

    def _failure(self, reason: str, variables: dict[str, Any]) -> dict[str, Any]:
        self._lost = True
        self._connection._shell.tmpdir = None
        host = self._host(variables)
        said = " ".join(reason.split()).rstrip(":")
        return {
            "failed": True,
            "changed": False,
            "lost_host": str(host),
            "msg": (
                f"Host {host} was lost while {self._task.action.rpartition('.')[2]} ran; what it had done by then is"
                f" not known. {said}"
            ),
        }
