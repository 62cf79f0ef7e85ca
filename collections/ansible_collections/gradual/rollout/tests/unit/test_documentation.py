"""Every module's documentation against the arguments it takes: what is documented is what runs, and the other way round."""

from __future__ import annotations

import importlib
import pathlib
import typing as t

import pytest
import yaml
from ansible.module_utils import basic

PLUGINS = pathlib.Path(__file__).parents[2] / "plugins"
PACKAGE = "ansible_collections.gradual.rollout.plugins"
MODULES = sorted(path.stem for path in (PLUGINS / "modules").glob("*.py") if "def main(" in path.read_text())
COMPARED = ("type", "elements", "choices", "default")
Options = dict[str, dict[str, t.Any]]


class Taken(Exception):
    """Carries what a module hands to AnsibleModule."""


def arguments_of(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, t.Any]:
    def take(_self: t.Any, **given: t.Any) -> None:
        raise Taken(given)

    module = importlib.import_module(f"{PACKAGE}.modules.{name}")
    monkeypatch.setattr(basic.AnsibleModule, "__init__", take)
    with pytest.raises(Taken) as taken:
        module.main()
    given: dict[str, t.Any] = taken.value.args[0]
    return given


def documented(name: str) -> dict[str, t.Any]:
    """The documentation of a module with its fragments merged in."""
    module = importlib.import_module(f"{PACKAGE}.modules.{name}")
    merged: dict[str, t.Any] = yaml.safe_load(module.DOCUMENTATION)
    for fragment in merged.get("extends_documentation_fragment", []):
        parts = fragment.removeprefix("gradual.rollout.").split(".")
        holder = importlib.import_module(f"{PACKAGE}.doc_fragments.{parts[0]}").ModuleDocFragment
        more = yaml.safe_load(getattr(holder, parts[1].upper() if len(parts) > 1 else "DOCUMENTATION"))
        for section in ("options", "attributes"):
            ours = merged.setdefault(section, {})
            for key, value in (more.get(section) or {}).items():
                ours[key] = {**value, **ours.get(key, {})}
    return merged


def compare(options: Options, arguments: Options, where: str) -> list[str]:
    told = [f"{where}{key} is documented only" for key in sorted(set(options) - set(arguments))]
    told += [f"{where}{key} is not documented" for key in sorted(set(arguments) - set(options))]
    for key in sorted(set(options) & set(arguments)):
        told += [
            f"{where}{key}: {part} is {options[key].get(part)!r} in the documentation, {arguments[key].get(part)!r} in the code"
            for part in COMPARED
            if options[key].get(part) != arguments[key].get(part, "str" if part == "type" else None)
        ]
        if bool(options[key].get("required")) != bool(arguments[key].get("required")):
            told.append(f"{where}{key}: required differs")
        if not options[key].get("description"):
            told.append(f"{where}{key} has no description")
        told += compare(options[key].get("suboptions", {}), arguments[key].get("options", {}), f"{where}{key}.")
    return told


@pytest.mark.parametrize("name", MODULES)
def test_what_is_documented_is_what_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given, documentation = arguments_of(name, monkeypatch), documented(name)
    assert compare(documentation.get("options", {}), given["argument_spec"], "") == []
    supports = documentation["attributes"]["check_mode"].get("support")
    assert (supports == "full") == bool(given.get("supports_check_mode")), f"check mode is said to be {supports!r}"


@pytest.mark.parametrize("name", MODULES)
def test_examples_and_returns_are_yaml(name: str) -> None:
    module = importlib.import_module(f"{PACKAGE}.modules.{name}")
    assert isinstance(yaml.safe_load(module.EXAMPLES), list)
    assert isinstance(yaml.safe_load(module.RETURN), dict)
