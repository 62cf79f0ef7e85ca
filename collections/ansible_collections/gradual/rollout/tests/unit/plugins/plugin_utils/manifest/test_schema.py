# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""The schema is the one source: the role's specs, the page for users and the gate have its defaults."""

from __future__ import annotations

import json
from typing import Any

import yaml
from ansible_collections.gradual.rollout.plugins.module_utils.gate import metrics as gate_metrics
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import settings_from
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest import document as manifest
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.gate_schema import BAKE, GATE
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.schema import SPEC, argument_spec
from ansible_collections.gradual.rollout.tests.unit.places import PROJECT, ROLES, needs_checkout


def test_the_gate_has_the_defaults_of_the_manifest() -> None:
    gate, bake = ({key: field.get("default") for key, field in fields.items()} for fields in (GATE, BAKE))
    assert settings_from(gate, bake) == settings_from(None, None)
    assert [bake[key] for key in ("min", "max", "look")] == [600, 3600, 30]
    assert settings_from(gate, {**bake, "min": 30}) != settings_from(None, None)


def test_a_metric_has_the_defaults_of_the_manifest_in_the_gate() -> None:
    entry = gate_metrics._checked(0, {"name": "orders", "counter": "orders_total"})
    defaults = {key: field["default"] for key, field in GATE["metrics"]["options"].items() if "default" in field}
    assert {key: entry[key] for key in defaults} == defaults


def test_the_roles_documentation_says_the_same() -> None:
    specs = yaml.safe_load((ROLES / "preflight/meta/argument_specs.yml").read_text(encoding="utf-8"))
    assert specs["argument_specs"]["main"]["options"] == argument_spec(), "write argument_spec() into main.options"


def page(fields: dict[str, Any], path: str = "") -> list[str]:
    """The rows of the table in docs/manifest.md."""
    rows = []
    for name, field in fields.items():
        place = f"{path}{name}"
        default = (
            "**needed**"
            if field.get("required")
            else f"`{json.dumps(field['default'])}`"
            if "default" in field and field["default"] != []
            else ""
        )
        choices = f" One of {', '.join(f'`{choice}`' for choice in field['choices'])}." if "choices" in field else ""
        rows.append(f"| `{place}` | {default} | {field['description']}{choices} |")
        if name == "smoke" and path:
            rows.append(f"| `{place}[].flag` | | {field['options']['flag']['description']} One of `on`, `off`. |")
        elif "options" in field:
            rows += page(field["options"], f"{place}{'[]' if field['type'] == 'list' else ''}.")
    return rows


@needs_checkout
def test_the_page_for_users_says_the_same() -> None:
    text = (PROJECT / "docs/manifest.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == page(SPEC), "write these rows:\n" + "\n".join(page(SPEC))


def test_every_default_is_good_itself() -> None:
    def walk(fields: dict[str, Any]) -> None:
        for field in fields.values():
            if "default" in field and field["type"] in ("str", "int", "float", "bool"):
                assert manifest._scalar(field["default"], field) == field["default"]
            walk(field.get("options", {}))

    walk(SPEC)
