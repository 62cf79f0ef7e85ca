"""awx/: the modules of awx.awx accept each entry, and whatever an entry names is there."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from tests.awx.configuration import FOLDER, HOME, MODULES, NODES, SECRETS, files, read

# The options of awx.awx's modules, from their documentation (version: the key `collection`).
OPTIONS = json.loads((Path(__file__).parent / "data/module_options.json").read_text())["modules"]
PLAYBOOKS = (
    "deploy",
    "approve",
    "rollback",
    "kill",
    "allow_flag",
    "hold_responses",
    "report",
    "contract",
    "backfill",
    "restore",
)
# Of AWX itself.
BUILT_IN = {"Machine", "Vault"}


@pytest.fixture
def configuration() -> dict[str, Any]:
    return read()


def entries(configuration: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(module, its options) for each entry, those of a workflow's nodes too."""
    for variable, module in MODULES.items():
        for entry in configuration[variable]:
            yield module, {key: value for key, value in entry.items() if key != NODES}
            for node in entry.get(NODES, ()):
                yield "workflow_job_template_node", {"workflow_job_template": entry["name"], **node}


def refused(configuration: dict[str, Any]) -> list[str]:
    """What the modules would not accept."""
    return [
        f"{module} {options.get('name') or options.get('identifier')}: {error}"
        for module, options in entries(configuration)
        for error in ArgumentSpecValidator(OPTIONS[module]).validate(copy.deepcopy(options)).error_messages
    ]


def missing(configuration: dict[str, Any]) -> list[str]:
    """What an entry names and no entry is."""
    names = {variable: {entry["name"] for entry in configuration[variable]} for variable in MODULES}
    inventories, notifications = names["controller_inventories"], names["controller_notifications"]
    found: list[str] = []

    def want(by: str, wanted: Any, of: set[str]) -> None:
        found.extend(
            f"{by}: {one}" for one in (wanted if isinstance(wanted, list) else [wanted]) if one and one not in of
        )

    for variable in MODULES:
        for entry in configuration[variable]:
            by = entry["name"]
            for key in ("started", "success", "error", "approvals"):
                want(by, entry.get(f"notification_templates_{key}"), notifications)
            want(by, entry.get("inventory"), inventories)
            want(by, entry.get("project") or entry.get("source_project"), names["controller_projects"])
            want(by, entry.get("credentials"), names["controller_credentials"])
            want(by, entry.get("credential_type"), names["controller_credential_types"] | BUILT_IN)
            environment = entry.get("execution_environment") or entry.get("default_environment")
            want(by, environment, names["controller_execution_environments"])
            want(by, entry.get("unified_job_template"), names["controller_templates"])
            nodes = {node["identifier"] for node in entry.get(NODES, ())}
            for node in entry.get(NODES, ()):
                want(by, node.get("unified_job_template"), names["controller_templates"])
                for way in ("success_nodes", "failure_nodes", "always_nodes"):
                    want(by, node.get(way), nodes)
    return found


def test_every_variable_is_one_of_the_roles_or_our_own(configuration: dict[str, Any]) -> None:
    assert {name for name in configuration if not name.startswith("awx_")} == set(MODULES)
    assert len(files()) == len(list(FOLDER.iterdir())) - 1


def test_the_modules_accept_every_entry(configuration: dict[str, Any]) -> None:
    assert refused(configuration) == []
    assert len(list(entries(configuration))) > 20


@pytest.mark.parametrize(
    ("variable", "change", "said"),
    [
        ("controller_templates", {"playbok": "x"}, "playbok. Supported parameters"),
        ("controller_templates", {"job_type": "scan"}, "value of job_type must be one of: run, check, got: scan"),
        ("controller_schedules", {"enabled": "perhaps"}, "argument 'enabled' is of type"),
        ("controller_credentials", {"credential_type": None}, "missing required arguments: credential_type"),
    ],
)
def test_a_mistake_is_refused(configuration: dict[str, Any], variable: str, change: dict[str, Any], said: str) -> None:
    entry = configuration[variable][0]
    configuration[variable][0] = {key: value for key, value in {**entry, **change}.items() if value is not None}
    assert [line for line in refused(configuration) if said in line], refused(configuration)


def test_whatever_is_named_is_there(configuration: dict[str, Any]) -> None:
    assert missing(configuration) == []


@pytest.mark.parametrize("key", ["project", "inventory", "execution_environment", "credentials"])
def test_a_name_that_is_nowhere_is_found(configuration: dict[str, Any], key: str) -> None:
    configuration["controller_templates"][0][key] = ["nowhere"] if key == "credentials" else "nowhere"
    assert missing(configuration) == ["Gradual plan: nowhere"]


def test_the_job_templates_are_of_playbooks_that_exist(configuration: dict[str, Any]) -> None:
    templates = configuration["controller_templates"]
    assert all((HOME / template["playbook"]).is_file() for template in templates)
    assert {Path(template["playbook"]).stem for template in templates} == set(PLAYBOOKS)


def test_no_template_asks_for_a_part_of_the_fleet(configuration: dict[str, Any]) -> None:
    """The playbooks would refuse it."""
    for template in configuration["controller_templates"] + configuration["controller_workflows"]:
        assert not {"limit", "job_tags", "skip_tags", "start_at_task"} & set(template)
        assert not any(template.get(f"ask_{part}_on_launch") for part in ("limit", "tags", "skip_tags"))


def test_a_second_job_begins_only_where_it_must(configuration: dict[str, Any]) -> None:
    at_once = {one["name"] for one in configuration["controller_templates"] if one.get("allow_simultaneous")}
    words = ("approve", "rollback", "kill", "allow flag", "hold responses")
    assert at_once == {f"Gradual {word}" for word in words}


def test_the_plan_changes_nothing_and_is_of_the_release_that_is_deployed(configuration: dict[str, Any]) -> None:
    plan, deploy = configuration["controller_templates"][:2]
    assert (plan["name"], plan["job_type"]) == ("Gradual plan", "check")
    # What a template is without it.
    assert (deploy["name"], deploy.get("job_type", "run")) == ("Gradual deploy", "run")
    assert plan["survey_spec"] == deploy["survey_spec"] == configuration["controller_workflows"][0]["survey_spec"]


def test_the_workflow_deploys_only_after_a_plan_and_an_approval(configuration: dict[str, Any]) -> None:
    nodes = {node["identifier"]: node for node in configuration["controller_workflows"][0][NODES]}
    ways = [
        (name, way, target)
        for name, node in nodes.items()
        for way in ("success_nodes", "failure_nodes", "always_nodes")
        for target in node.get(way, ())
    ]
    assert ways == [
        ("plan", "success_nodes", "approval"),
        ("approval", "success_nodes", "deploy"),
        ("deploy", "failure_nodes", "report"),
    ]
    assert "approval_node" in nodes["approval"]
    # AWX calls a workflow successful when the last node of the way for failures is: this one must not be.
    assert nodes["report"]["extra_data"] == {"report_insist": "completed"}
    [report] = [one for one in configuration["controller_templates"] if one["name"] == "Gradual report"]
    assert report["ask_variables_on_launch"] is True


def test_no_secret_is_written_here(configuration: dict[str, Any]) -> None:
    """Each secret input of a credential is a value that the site gives."""
    for credential in configuration["controller_credentials"]:
        secret = [value for key, value in credential["inputs"].items() if key not in ("username", "become_method")]
        assert len(secret) == 1
        assert secret[0] in SECRETS.values()
        assert credential["update_secrets"] is False


def test_the_credential_fills_in_a_variable_that_exists(configuration: dict[str, Any]) -> None:
    [kind] = configuration["controller_credential_types"]
    defaults = yaml.safe_load((HOME / "roles/rollout/defaults/main.yml").read_text())
    assert set(kind["injectors"]["extra_vars"]) <= set(defaults)
    assert [field["id"] for field in kind["inputs"]["fields"] if field["secret"]] == kind["inputs"]["required"]
