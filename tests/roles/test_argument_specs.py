"""Every role says in meta/argument_specs.yml what can be set: each variable of its defaults, with the same default."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.roles.local import HOME

ROLES = sorted(path.name for path in (HOME / "roles").iterdir() if path.is_dir())

# Ansible evaluates every variable of a spec when the role starts. These have templates that hold results of later
# tasks, the host in a loop, or what only some hosts know, so they cannot be in a spec.
LATE = {
    "backup_smoke_url": "without an earlier release there is none to start",
    "backup_smoke_probes": "without an earlier release there is none to start",
    "backup_smoke_probes_from": "without an earlier release there is none to start",
    "restore_target": "omitted for a restore into a new database",
    "ramp_holdback": "of the ledger's manifest",
    "ramp_labels": "of the ledger's manifest",
    "ramp_aa": "of the ledger, and set again by the A/A stage",
    "ramp_verify_url": "of the role rollout",
    "release_going_back": "set by whoever includes a task file",
    "release_up_before": "of the balancer in a loop",
    "release_must_be_up": "of the ledger, which changes with each host",
    "rollout_part": "set by each playbook",
    "rollout_last_part": "of the step that runs",
    "rollout_confirmed": "of the step that runs",
    "rollout_front_door": "needed on some hosts only, so an inventory may define it there",
    "rollout_front_door_ca": "needed on some hosts only, so an inventory may define it there",
}


def loaded(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {}) if path.exists() else {}


def specs(role: Path) -> dict[str, dict[str, Any]]:
    """{entry point: {option: its specification}}"""
    entries = loaded(role / "meta/argument_specs.yml").get("argument_specs", {})
    return {name: entry.get("options", {}) for name, entry in entries.items()}


def problems(role: Path) -> list[str]:
    """What is wrong with the specs of a role, in a sentence each."""
    entries, defaults = specs(role), loaded(role / "defaults/main.yml")
    options = [(entry, name, option) for entry, known in entries.items() for name, option in known.items()]
    named = {name for _, name, _ in options}
    return [
        *([] if entries else [f"{role.name} has no argument_specs"]),
        *(f"{name} is in no spec" for name in defaults if name not in named and name not in LATE),
        *(f"{name} cannot be evaluated at the role's start, but is in a spec" for name in named & set(LATE)),
        *(
            f"{entry}: the default of {name} is {option.get('default')!r}, expected {expected(defaults[name])!r}"
            for entry, name, option in options
            if name in defaults and not option.get("required")
            if unlike(option, defaults[name])
        ),
    ]


def expected(value: Any) -> Any:
    """A template has no place in a spec, which would show the template and not the value."""
    return None if "{{" in repr(value) else value


def unlike(option: dict[str, Any], value: Any) -> bool:
    """Whether a spec states another default; it need not repeat a list or a dictionary."""
    return option.get("default") != expected(value) and ("default" in option or not isinstance(value, list | dict))


@pytest.mark.parametrize("role", ROLES)
def test_the_specs_of_a_role_agree_with_its_defaults(role: str) -> None:
    assert problems(HOME / "roles" / role) == []


def test_late_variables_exist() -> None:
    defaults = {name for role in ROLES for name in loaded(HOME / "roles" / role / "defaults/main.yml")}
    assert set(LATE) <= defaults


@pytest.mark.parametrize(
    ("options", "defaults", "wrong"),
    [
        ({"a": {"default": 1}}, {"a": 1}, []),
        ({"a": {"default": 2}}, {"a": 1}, ["main: the default of a is 2, expected 1"]),
        ({"a": {}}, {"a": 1}, ["main: the default of a is None, expected 1"]),
        ({"a": {"default": "{{ b }}"}}, {"a": "{{ b }}"}, ["main: the default of a is '{{ b }}', expected None"]),
        ({"a": {}}, {"a": "{{ b }}"}, []),
        ({"a": {}}, {"a": [1]}, []),
        ({"a": {"default": []}}, {"a": [1]}, ["main: the default of a is [], expected [1]"]),
        ({}, {"a": 1}, ["a is in no spec"]),
        ({"ramp_aa": {}}, {}, ["ramp_aa cannot be evaluated at the role's start, but is in a spec"]),
    ],
)
def test_a_difference_is_found(
    tmp_path: Path, options: dict[str, Any], defaults: dict[str, Any], wrong: list[str]
) -> None:
    for folder in ("meta", "defaults"):
        (tmp_path / folder).mkdir()
    (tmp_path / "meta/argument_specs.yml").write_text(
        yaml.safe_dump({"argument_specs": {"main": {"options": options}}})
    )
    (tmp_path / "defaults/main.yml").write_text(yaml.safe_dump(defaults))
    assert problems(tmp_path) == wrong
