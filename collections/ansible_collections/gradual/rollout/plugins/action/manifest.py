# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Checks the release manifest among the variables, on the controller, without contacting any host."""

from __future__ import annotations

import copy
import os
from typing import Any, Iterable

from ansible import constants
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.vars import load_extra_vars
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.hash_chain import digest
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.document import (
    FOREIGN,
    check,
    foreign_mistakes,
    message,
    unknown,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.schema import SPEC

ARGUMENTS = {"values": {"type": "dict"}, "known": {"type": "list", "elements": "str", "default": []}}


class ActionModule(ActionBase):
    """Manifest in, manifest with defaults and its digest out, or every mistake in one message."""

    _requires_connection = False
    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """See the module's documentation."""
        variables = task_vars or {}
        result = super().run(tmp, variables)
        _validation, arguments = self.validate_argument_spec(argument_spec=ARGUMENTS)
        if arguments["values"] is None:
            values, mistakes = self._read(variables)
            extra = load_extra_vars(self._loader)
            foreign = self._templar.template(variables.get(FOREIGN) or [])
            wrong = foreign_mistakes(foreign)
            patterns = [] if wrong else [str(pattern) for pattern in foreign]
            mistakes += wrong + unknown(extra, self._known(extra, arguments["known"], variables, patterns), patterns)
        else:
            values, mistakes = arguments["values"], []
        unread = {line.partition(":")[0] for line in mistakes}
        manifest, found = check(values, self._groups(variables))
        mistakes += [line for line in found if line.partition(":")[0] not in unread]
        result["changed"] = False
        if mistakes:
            return {**result, "failed": True, "mistakes": mistakes, "msg": message(mistakes)}
        return {**result, "manifest": manifest, "digest": digest(manifest), "mistakes": []}

    def _read(self, variables: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """The manifest's keys out of the variables, with their templates resolved."""
        values: dict[str, Any] = {}
        mistakes = []
        for name in SPEC:
            if name not in variables:
                continue
            try:
                values[name] = self._templar.template(variables[name])
            except AnsibleError as error:
                reason = " ".join(str(error).split())
                mistakes.append(
                    f"{name}: holds a template that cannot be resolved ({reason}); define what it names, or write the"
                    " value itself"
                )
        return values, mistakes

    @staticmethod
    def _groups(variables: dict[str, Any]) -> dict[str, list[str]]:
        return {str(name): [str(host) for host in hosts] for name, hosts in (variables.get("groups") or {}).items()}

    def _known(
        self, extra: Iterable[str], given: Iterable[str], variables: dict[str, Any], foreign: list[str]
    ) -> set[str]:
        """Names that an extra variable may have because it overrides something: variables of the inventory, the
        play and the roles. Looked up only when there is a name to look up."""
        known = set(given)
        if not unknown(extra, known, foreign):
            return known
        known |= self._role_defaults()
        if not unknown(extra, known, foreign):
            return known
        hosts: Any = variables.get("hostvars")
        manager = copy.copy(getattr(hosts, "_variable_manager", None))
        if manager is None:
            return known
        manager._extra_vars = {}
        play = getattr(getattr(self._task, "_parent", None), "_play", None)
        for name in hosts:
            host = hosts._inventory.get_host(name)
            known |= set(manager.get_vars(play=play, host=host, include_hostvars=False))
        return known

    def _role_defaults(self) -> set[str]:
        """What the roles of this project let anybody set."""
        known: set[str] = set()
        for base in [*constants.DEFAULT_ROLES_PATH, os.path.join(self._loader.get_basedir(), "roles")]:
            if not os.path.isdir(base):
                continue
            for role in sorted(os.listdir(base)):
                for part in ("defaults", "vars"):
                    path = os.path.join(base, role, part, "main.yml")
                    if os.path.isfile(path):
                        known |= set(self._loader.load_from_file(path) or {})
        return known
