# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check a release manifest and fill in its defaults. Pure: values in, manifest and every error out.

Values come from YAML, from `-e key=value` (strings) and from surveys (where blank means absent, and a list or a mapping
is the text of one), so each is read as what it can only mean, and everything else is an error that says what to write.
"""

from __future__ import annotations

import datetime
import difflib
import fnmatch
import json
import re
from typing import Any, Iterable, Mapping

from ansible.module_utils.common.yaml import yaml_load
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.fields import Field
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.rules import across, shown
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest.schema import SPEC

WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
# What Ansible, AWX and Gradual hang on a run.
KNOWN_PREFIXES = ("ansible_", "awx_", "tower_", "gradual_")
# Variables of the inventory that messages tell people to write, so they may be written with -e where the inventory does
# not have them yet.
SETTINGS = frozenset({"application_paths", "min_in_traffic"})


class Mistake(Exception):
    """What is wrong, what was seen, what to write."""


def plain(value: Any) -> Any:
    """A copy out of JSON's own types, without what Ansible hangs on its values; TypeError for anything else."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return "".join(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if value - value != 0:
            raise TypeError("number that is not finite")
        return float(value)
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    # YAML makes a date of 2027-03-31 without quotes; it is meant as it is written.
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        return value.isoformat()
    raise TypeError(type(value).__name__)


def check(values: Mapping[str, Any], groups: Mapping[str, Any] | None = None) -> tuple[dict[str, Any], list[str]]:
    """The manifest with its defaults, and every error as `path: what is wrong, got X; write Y`.

    values: the manifest's keys, and no others; groups: the inventory's, name → hosts (None: not looked at).
    """
    mistakes: list[str] = []
    try:
        given = plain(values)
    except TypeError as error:
        return {}, [f"manifest: holds a {error}, which has no meaning here; write text, numbers, lists and mappings"]
    manifest = _mapping("", given, SPEC, mistakes)
    across(_sound(manifest, mistakes), groups, mistakes)
    return manifest, mistakes


FOREIGN = "manifest_foreign_variables"


def unknown(names: Iterable[str], known: Iterable[str], foreign: Iterable[str] = ()) -> list[str]:
    """A mistake for each extra variable that means nothing to anybody, with what was probably meant.

    foreign: patterns of names that are for others (a survey, a workflow, a credential); `*` stands for any text."""
    fields, others, patterns = set(SPEC), SETTINGS.union({FOREIGN}, known), list(foreign)
    lines = []
    for name in names:
        if name in fields or name in others or name.startswith(KNOWN_PREFIXES):
            continue
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            continue
        near = difflib.get_close_matches(name, sorted(fields), 1, 0.6) + difflib.get_close_matches(
            name, sorted(others), 1, 0.8
        )
        near = difflib.get_close_matches(name, near, 1, 0.6)
        advice = f"write {near[0]}" if near else f"leave it out, or write one of {', '.join(sorted(fields))}"
        lines.append(
            f"{name}: no such key in a manifest, and no variable of that name; {advice}; "
            f"if it is for others, name it in the inventory: {FOREIGN}: [{name}]"
        )
    return lines


def foreign_mistakes(patterns: Any) -> list[str]:
    """What is wrong with the site's list of foreign variables."""
    if not isinstance(patterns, (list, tuple)) or not all(isinstance(pattern, str) for pattern in patterns):
        return [f"{FOREIGN}: not a list of names, got {shown(patterns)}; write a list such as [ticket, workflow_*]"]
    return [
        f"{FOREIGN}: matches every name and would hide every error, got {shown(pattern)}; "
        "write names, or what they begin with"
        for pattern in patterns
        if not re.search(r"[A-Za-z0-9]", pattern)
    ]


def message(mistakes: list[str]) -> str:
    """All errors as one text."""
    count = "1 error" if len(mistakes) == 1 else f"{len(mistakes)} errors"
    return f"The release manifest has {count}; nothing has been changed.\n" + "\n".join(
        f"  {line}" for line in mistakes
    )


def blank(value: Any) -> bool:
    """Whether a value stands for none, as a survey gives it."""
    return value is None or (isinstance(value, str) and not value.strip())


def unanswered(value: Any) -> bool:
    """Whether a key of the manifest stands for none: a blank answer, or nothing chosen of several, which is []."""
    return blank(value) or value == []


def _sound(manifest: dict[str, Any], mistakes: list[str]) -> dict[str, Any]:
    """The manifest without the keys that have mistakes already, so that nothing is told twice."""
    bad = {re.split(r"[.\[:]", line, maxsplit=1)[0] for line in mistakes}
    return {key: value for key, value in manifest.items() if key not in bad}


def _mapping(path: str, given: dict[str, Any], fields: Mapping[str, Field], mistakes: list[str]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name in given:
        if name not in fields:
            near = difflib.get_close_matches(name, list(fields), 1, 0.6)
            advice = f"write {near[0]}" if near else f"write one of {', '.join(fields)}"
            mistakes.append(f"{_join(path, name)}: no such key, got {shown(given[name])}; {advice}")
    for name, field in fields.items():
        value, where = given.get(name), _join(path, name)
        if blank(value) if path else unanswered(value):
            if field.get("required"):
                example = field.get("example", field["description"])
                mistakes.append(
                    f"{where}: missing, got {'nothing' if name not in given else shown(value)}; write {example}"
                )
            elif field.get("fill"):
                result[name] = _mapping(where, {}, field["options"], mistakes)
            elif "default" in field:
                result[name] = plain(field["default"])
            elif not path:
                result[name] = None
            continue
        try:
            result[name] = _value(where, value, field, mistakes)
        except Mistake as error:
            mistakes.append(f"{where}: {error}")
    return result


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _value(where: str, value: Any, field: Field, mistakes: list[str]) -> Any:
    kind = field["type"]
    if kind == "json":
        return value
    if kind == "dict":
        value = _unpacked(value, dict, "a mapping")
        return _mapping(where, value, field["options"], mistakes) if "options" in field else value
    if kind == "list":
        return _list(where, value, field, mistakes)
    return _scalar(value, field)


def _unpacked(value: Any, kind: type, words: str) -> Any:
    """A dict or list, also out of the JSON or YAML text that -e key=value or a survey makes of it."""
    if isinstance(value, str):
        try:
            read = json.loads(value)
        except (ValueError, RecursionError):
            read = _yaml(value)
        try:
            read = plain(read)
        except (TypeError, RecursionError):
            read = None
        if not isinstance(read, kind):
            raise Mistake(f"not {words}, got {shown(value)}; write {words}, as YAML or JSON")
        return read
    if not isinstance(value, kind):
        raise Mistake(f"not {words}, got {shown(value)}; write {words}")
    return value


def _yaml(text: str) -> Any:
    """What a YAML text holds; None where it is none."""
    try:
        return yaml_load(text)
    except Exception:  # whatever the loader makes of a text that is no YAML
        return None


def _list(where: str, value: Any, field: Field, mistakes: list[str]) -> list[Any]:
    simple = field["elements"] != "dict"
    if simple and isinstance(value, str) and not re.match(r"\s*(\[|-(\s|$))", value):
        value = [part.strip() for part in re.split(r"[,\n]", value.strip())]
    elif simple and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = [value]
    value = _unpacked(value, list, "a list")
    result: list[Any] = []
    for number, entry in enumerate(value):
        element: Field = {key: field[key] for key in ("options", "least", "most") if key in field}
        try:
            result.append(_value(f"{where}[{number}]", entry, {"type": field["elements"], **element}, mistakes))
        except Mistake as error:
            mistakes.append(f"{where}[{number}]: {error}")
    return result


def _scalar(value: Any, field: Field) -> Any:
    result = {"str": _string, "int": _integer, "float": _number, "bool": _boolean}[field["type"]](value, field)
    if "choices" in field and result not in field["choices"]:
        near = difflib.get_close_matches(str(result), field["choices"], 1, 0.6)
        raise Mistake(f"not known, got {shown(value)}; write {near[0] if near else ' or '.join(field['choices'])}")
    if "least" in field and result < field["least"]:
        raise Mistake(f"too small, got {shown(value)}; write {field['least']} or more")
    if "most" in field and result > field["most"]:
        raise Mistake(f"too large, got {shown(value)}; write {field['most']} or less")
    return result


def _string(value: Any, field: Field) -> str:
    if isinstance(value, bool) and field.get("choices") == ["on", "off"]:
        return "on" if value else "off"
    if isinstance(value, (bool, int, float)):
        raise Mistake(f"a number and not text (zeros may be lost already), got {shown(value)}; write it in quotes")
    if not isinstance(value, str):
        raise Mistake(f"not text, got {shown(value)}; write {field.get('example', 'text')}")
    text = value.strip()
    if "pattern" in field and not re.fullmatch(field["pattern"], text):
        raise Mistake(f"not of the right form, got {shown(text)}; write {field.get('example', field['pattern'])}")
    return text


def _number(value: Any, _field: Field) -> float:
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not abs(number) < 1e15:
        raise Mistake(f"not a number, got {shown(value)}; write a number such as 0.5")
    return number


def _integer(value: Any, field: Field) -> int:
    try:
        number = _number(value, field)
    except Mistake:
        number = 0.5
    if number != int(number):
        raise Mistake(f"not a whole number, got {shown(value)}; write a whole number")
    return int(number)


def _boolean(value: Any, _field: Field) -> bool:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word not in WORDS:
        raise Mistake(f"neither true nor false, got {shown(value)}; write true or false")
    return WORDS[word]
