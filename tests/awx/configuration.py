"""The variables of awx/, as Ansible would give them to the roles of infra.aap_configuration.

Only what those files use is filled in here: `{{ name }}`, alone or in a text, and `!unsafe`, which stays as it is.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

HOME = Path(__file__).resolve().parents[2]
FOLDER = HOME / "awx"
# Not variables: what ansible-builder reads.
DEFINITION = "execution-environment.yml"
# What a site gives from its vault.
SECRETS = {name: f"the secret {name}" for name in ("awx_machine_key", "awx_vault_password", "awx_artifact_token")}
# The variables that the roles read, and the module of awx.awx that each entry goes to.
MODULES = {
    "controller_templates": "job_template",
    "controller_workflows": "workflow_job_template",
    "controller_credential_types": "credential_type",
    "controller_credentials": "credential",
    "controller_notifications": "notification_template",
    "controller_schedules": "schedule",
    "controller_projects": "project",
    "controller_inventories": "inventory",
    "controller_inventory_sources": "inventory_source",
    "controller_execution_environments": "execution_environment",
}
# The key of a workflow that the role takes apart itself; each entry goes to workflow_job_template_node.
NODES = "simplified_workflow_nodes"


class Unsafe(str):
    """A text of !unsafe."""


class Loader(yaml.SafeLoader):
    """YAML with !unsafe."""


def _unsafe(loader: Loader, node: yaml.ScalarNode) -> Unsafe:
    return Unsafe(loader.construct_scalar(node))  # type: ignore[no-untyped-call]


Loader.add_constructor("!unsafe", _unsafe)


def files() -> list[Path]:
    return sorted(path for path in FOLDER.glob("*.yml") if path.name != DEFINITION)


def read() -> dict[str, Any]:
    """The variables of all files, filled in."""
    variables: dict[str, Any] = dict(SECRETS)
    for path in files():
        variables.update(yaml.load(path.read_text(), Loader))
    return {name: filled(value, variables) for name, value in variables.items()}


def filled(value: Any, variables: dict[str, Any]) -> Any:
    """A value with every `{{ name }}` replaced; KeyError where no variable has that name."""
    if isinstance(value, dict):
        return {key: filled(entry, variables) for key, entry in value.items()}
    if isinstance(value, list):
        return [filled(entry, variables) for entry in value]
    if not isinstance(value, str) or isinstance(value, Unsafe):
        return value
    whole = re.fullmatch(r"\{\{ (\w+) \}\}", value)
    if whole:
        return filled(variables[whole[1]], variables)
    return re.sub(r"\{\{ (\w+) \}\}", lambda found: str(filled(variables[found[1]], variables)), value)
