# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Every module's documentation says what its argument_spec does, and what runs on hosts keeps to their Python."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.gradual.rollout.tests.unit.places import COLLECTION

PACKAGE = "ansible_collections.gradual.rollout.plugins"
MODULES = sorted(path.stem for path in (COLLECTION / "plugins/modules").glob("*.py"))
ON_HOSTS = sorted(
    [*(COLLECTION / "plugins/modules").glob("*.py"), *(COLLECTION / "plugins/module_utils").rglob("*.py")]
)
# They run on the controller, as action plugins of the same name.
ON_CONTROLLER = ("flag_kill", "gate_watch", "manifest", "migration_lint", "report_copy")
RUNTIME = yaml.safe_load((COLLECTION / "meta/runtime.yml").read_text(encoding="utf-8"))


class Spec(Exception):
    """Carries the arguments of AnsibleModule out of a module's main()."""

    def __init__(self, given: dict[str, Any]) -> None:
        super().__init__()
        self.given = given


def arguments_of(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What main() gives to AnsibleModule."""
    module = importlib.import_module(f"{PACKAGE}.modules.{name}")

    def stop(*_arguments: Any, **given: Any) -> None:
        raise Spec(given)

    monkeypatch.setattr(module, "AnsibleModule", stop)
    with pytest.raises(Spec) as caught:
        module.main()
    return caught.value.given


def documentation_of(name: str) -> dict[str, Any]:
    module = importlib.import_module(f"{PACKAGE}.modules.{name}")
    documented: dict[str, Any] = yaml.safe_load(module.DOCUMENTATION)
    for fragment in documented.get("extends_documentation_fragment", []):
        _namespace, _collection, file, *part = fragment.split(".")
        source = importlib.import_module(f"{PACKAGE}.doc_fragments.{file}").ModuleDocFragment
        extended = yaml.safe_load(getattr(source, part[0].upper() if part else "DOCUMENTATION"))
        documented["options"] = {**extended.get("options", {}), **documented.get("options", {})}
    return documented


def outline(options: dict[str, Any], inner: str) -> dict[str, Any]:
    """The part of options that documentation and argument_spec must agree on."""
    found = {}
    for name, option in options.items():
        found[name] = {
            "type": option.get("type", "str"),
            "elements": option.get("elements"),
            "required": bool(option.get("required", False)),
            "default": option.get("default"),
            "choices": list(option["choices"]) if "choices" in option else None,
            "inner": outline(option.get(inner) or {}, inner),
        }
    return found


@pytest.mark.parametrize("name", MODULES)
def test_documentation_and_argument_spec_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in ON_CONTROLLER:
        spec = importlib.import_module(f"{PACKAGE}.action.{name}").ARGUMENTS
        assert outline(spec, "options") == outline(documentation_of(name)["options"], "suboptions")
        return
    given = arguments_of(name, monkeypatch)
    assert outline(given["argument_spec"], "options") == outline(documentation_of(name)["options"], "suboptions")
    assert given["supports_check_mode"] is True


@pytest.mark.parametrize("name", MODULES)
def test_every_module_goes_through_reach(name: str) -> None:
    routed = RUNTIME["plugin_routing"]["modules"].get(name, {}).get("action_plugin")
    assert routed == (None if name in ON_CONTROLLER else "gradual.rollout.reach")


@pytest.mark.parametrize("path", ON_HOSTS, ids=lambda path: str(path.relative_to(COLLECTION / "plugins")))
def test_hosts_python_can_read_it(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 9))
    assert not [node for node in ast.walk(tree) if type(node).__name__ in ("Match", "TryStar")]
    if any(isinstance(node, (ast.FunctionDef, ast.AnnAssign)) for node in ast.walk(tree)):
        futures = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
        assert futures, "from __future__ import annotations, for int | None"
