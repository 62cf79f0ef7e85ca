# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs one module on another host than the task's, over a connection of its own, from within an action plugin.

What ansible-core's executor does for `delegate_to`, in its order, with the parts that both 2.19 and 2.21 have; the
executor itself is internal and differs between them.
"""

from __future__ import annotations

import os
from typing import Any, Mapping

from ansible import constants
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import become_loader, connection_loader
from ansible.template import Templar


class Elsewhere(ActionBase):
    """An action that only lends its means of running a module."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        raise NotImplementedError("use execute")


def execute(
    action: ActionBase,
    variables: Mapping[str, Any],
    name: str,
    module: str,
    arguments: dict[str, Any],
    check_mode: bool = False,
) -> dict[str, Any]:
    """The result of a module on the inventory's host `name`; AnsibleConnectionFailure when it cannot be reached.

    action, variables: the action plugin that asks, and its task_vars."""
    hostvars = variables["hostvars"]
    play = action._task.get_play()
    host = hostvars._inventory.get_host(name)
    theirs: dict[str, Any] = hostvars._variable_manager.get_vars(play=play, host=host)
    templar = Templar(loader=action._loader, variables=theirs)
    task = action._task.copy(exclude_parent=True)
    task.args, task.action, task.delegate_to = arguments, module, None
    task.async_val, task.check_mode, task.environment = 0, check_mode, []
    context = action._play_context.set_task_and_variable_override(task=task, variables=theirs, templar=templar)
    context.remote_addr = str(_value(theirs, templar, "ansible_host") or name)
    connection = connection_loader.get(
        str(_value(theirs, templar, "ansible_connection") or task.connection or constants.DEFAULT_TRANSPORT),
        context,
        new_stdin=None,
        task_uuid=str(task._uuid),
        ansible_playbook_pid=str(os.getppid()),
    )
    keys = {**task.dump_attrs(), "timeout": context.timeout}
    keys.pop("retries", None)
    wanted = _value(theirs, templar, "ansible_become")
    become = None
    if task.become if wanted is None else boolean(wanted, strict=False):
        become = become_loader.get(
            str(
                _value(theirs, templar, "ansible_become_method")
                or task.become_method
                or constants.DEFAULT_BECOME_METHOD
            )
        )
    connection.set_become_plugin(become)
    password = {"password": context.password} if context.password else {}
    connection.set_options(
        task_keys={**keys, **password}, var_options=connection._resolve_option_variables(theirs, templar)
    )
    connection._shell.set_options(
        task_keys=keys, var_options=_options("shell", connection._shell._load_name, theirs, templar)
    )
    if become is not None:
        password = {"become_pass": context.become_pass} if context.become_pass else {}
        become.set_options(
            task_keys={**keys, **password}, var_options=_options("become", become._load_name, theirs, templar)
        )
        context.set_become_plugin(become.name)
        context.prompt = become.prompt
    made = Elsewhere(task, connection, context, action._loader, templar, action._shared_loader_obj)
    try:
        result: dict[str, Any] = made._execute_module(module_name=module, module_args=arguments, task_vars=theirs)
    finally:
        made.cleanup()
    return result


def _value(variables: Mapping[str, Any], templar: Templar, name: str) -> Any:
    return templar.template(variables[name]) if name in variables else None


def _options(kind: str, plugin: str, variables: Mapping[str, Any], templar: Templar) -> dict[str, Any]:
    return {
        name: templar.template(variables[name])
        for name in constants.config.get_plugin_vars(kind, plugin)
        if name in variables
    }
