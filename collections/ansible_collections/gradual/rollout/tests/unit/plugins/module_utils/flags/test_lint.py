"""Flags of others beside Gradual's, held against the real provider.

What flagd takes stays as it is, and what makes a provider refuse the whole file is told before anything is shown.
"""

from __future__ import annotations

import json
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.flags import definition as flag_definition
from ansible_collections.gradual.rollout.plugins.module_utils.flags import lint as flag_lint
from hypothesis import given, settings
from hypothesis import strategies as st
from openfeature.contrib.tools.flagd.core import FlagdCore
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError

Json = dict[str, t.Any]
USERS = [
    EvaluationContext(f"user-{number}", {"email": f"{number}@{'x.org' if number % 3 else 'y.org'}", "plan": "gold"})
    for number in range(60)
]
COLOURS = {"red": "r", "blue": "b"}
BY_EMAIL = {"cat": [{"var": "$flagd.flagKey"}, {"var": "email"}]}


def flag(**changes: t.Any) -> Json:
    return {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off", **changes}


def colour(*fractions: t.Any, **changes: t.Any) -> Json:
    rule = {"targeting": {"fractional": list(fractions)}} if fractions else {}
    return flag(variants=COLOURS, defaultVariant="red", **rule, **changes)


TAKEN: dict[str, Json] = {
    "disabled": flag(state="DISABLED"),
    "no default variant": {"state": "ENABLED", "variants": COLOURS},
    "null as default, for the code's own": flag(
        variants=COLOURS, defaultVariant=None, targeting={"if": [{"==": [{"var": "plan"}, "gold"]}, "red"]}
    ),
    "weights that do not sum to 100": colour(["red", 1], ["blue", 2]),
    "weights that are large": colour(["red", 100_000], ["blue", 900_000]),
    "weights that are counted": colour(
        BY_EMAIL, ["red", {"-": [{"var": "$flagd.timestamp"}, 1_740_000_000]}], ["blue", 100]
    ),
    "shorthand": colour(["red"], ["blue"]),
    "one bucket": colour(["red"]),
    "a value to bucket by": colour(BY_EMAIL, ["red", 50], ["blue", 50]),
    "computed variants": colour(
        BY_EMAIL, [{"if": [{"in": ["@x.org", {"var": "email"}]}, "red", "blue"]}, 50], ["blue", 50]
    ),
    "off before on": flag(targeting={"fractional": [["off", 75], ["on", 25]]}),
    "nested": flag(
        targeting={
            "if": [
                {"ends_with": [{"var": "email"}, "x.org"]},
                {"fractional": [["on", 10], ["off", 10]]},
                {"if": [True, "on", None]},
            ]
        }
    ),
    "a computed rule": flag(targeting={"cat": ["o", "n"]}),
    "null as rule": flag(targeting=None),
    "numbers of both kinds": flag(variants={"low": 1, "high": 2.5}, defaultVariant="low"),
    "objects": flag(variants={"a": {"size": 1}, "b": {"size": [1.5, None]}}, defaultVariant="a"),
    "values of different types": flag(variants={"a": 1, "b": "x"}, defaultVariant="a"),
    "a default that is no variant": flag(defaultVariant="of"),
    "a rule that names no variant": flag(targeting={"fractional": [["onn", 50], ["off", 50]]}),
    "metadata": flag(metadata={"owner": "web", "since": 2026, "share": 0.5, "live": True}),
}
REFUSED: dict[str, tuple[t.Any, str]] = {
    "no flag": (None, "is None; write an object"),
    "another state": (flag(state="ON"), "state is 'ON'; write ENABLED or DISABLED"),
    "no state": ({"variants": COLOURS}, "state is None"),
    "no variants": ({"state": "ENABLED", "defaultVariant": "on"}, "variants is None; write an object"),
    "empty variants": (flag(variants={}), "variants is {}"),
    "a list of variants": (flag(variants=["on"]), "variants is ['on']"),
    "a number as default": (flag(defaultVariant=1), "defaultVariant is 1; write the name of a variant, or null"),
    "metadata with a list": (flag(metadata={"owners": ["web"]}), "metadata: owners is ['web']; write text, a number"),
    "metadata with null": (flag(metadata={"owner": None}), "metadata: owner is None"),
}


def takes(document: t.Any) -> bool:
    """Whether the real provider takes the file. It changes what it is given, so it gets a copy."""
    try:
        FlagdCore().set_flags(json.dumps(document))
    except Exception:
        return False
    return True


def answers(document: Json, name: str) -> list[t.Any]:
    """What each user gets of a flag: value and variant, or the error."""
    core, found = FlagdCore(), list[t.Any]()
    core.set_flags(json.dumps(document))
    resolve = core.resolve_boolean_value if "on" in document["flags"][name]["variants"] else core.resolve_string_value
    for user in USERS:
        try:
            details = resolve(name, "code", user)  # type: ignore[arg-type]
            found.append((details.value, details.variant))
        except OpenFeatureError as error:
            found.append(type(error).__name__)
    return found


@pytest.mark.parametrize("name", TAKEN)
def test_what_flagd_takes_stays_as_it_is_and_gives_every_user_the_same(name: str) -> None:
    document: Json = {
        "$schema": "https://flagd.dev/schema/v0/flags.json",
        "flags": {"theirs": TAKEN[name]},
        "$evaluators": {"gold": {"var": "plan"}},
    }
    assert takes(document)
    text = flag_definition.render(document)
    for wanted in (
        {"certified": 0},
        {"certified": 0, "labels": [25, 50]},
        {"certified": 25, "baking": 50, "expiry": 1_990_000_000},
        {"certified": 100},
    ):
        change = flag_definition.plan(
            flag_definition.parse(text), [flag_definition.wanted_from({"flag": "search", **wanted})], 7
        )
        assert change.warnings == []
        text = flag_definition.render(change.document)
        after = json.loads(text)
        assert {key: value for key, value in after.items() if key not in ("flags", "metadata")} == {
            key: document[key] for key in ("$schema", "$evaluators")
        }
        assert json.dumps(after["flags"]["theirs"], sort_keys=True) == json.dumps(TAKEN[name], sort_keys=True), (
            "1 and 1.0 and true differ here"
        )
        assert answers(after, "theirs") == answers(document, "theirs")
    assert (
        flag_lint.flag_problems({"app1": {"flags": document, "flags_error": None}}, {"features": [{"flag": "search"}]})
        == []
    )


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_the_provider_refuses_is_told_before_a_feature_is_shown(name: str) -> None:
    definition, message = REFUSED[name]
    document = {"flags": {"theirs": definition, "others": TAKEN["shorthand"]}}
    assert not takes(document)
    (mistake,) = flag_lint.refusals(document)
    assert mistake.startswith("flag theirs: ")
    assert message in mistake
    with pytest.raises(flag_definition.FlagFileError, match="flag theirs: "):
        flag_definition.plan(document, [flag_definition.wanted_from({"flag": "search", "certified": 25})], 7)
    (problem,) = flag_lint.flag_problems({"app1": {"flags": document}}, {"features": []}, "/etc/flags.json")
    assert problem.startswith("app1: /etc/flags.json would be refused as a whole")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "on", "off", "ENABLED", "DISABLED"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["", "on", "x"]), inner, max_size=2),
    max_leaves=4,
)
near = {"state": st.sampled_from(["ENABLED", "DISABLED", "ON"]), "variants": st.just({"on": True}) | values}
flags = values | st.fixed_dictionaries(
    near, optional=dict.fromkeys(("defaultVariant", "targeting", "metadata"), values)
)


@given(
    st.fixed_dictionaries(
        {}, optional={"flags": values | st.dictionaries(st.text(max_size=2), flags, max_size=2), "metadata": values}
    )
)
@settings(max_examples=500, deadline=None)
def test_exactly_what_the_provider_refuses_is_told(document: Json) -> None:
    assert (flag_lint.refusals(document) == []) == takes(document)


REVISION = {"metadata": {"revision": 7}}


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        (
            flag_definition.definition(
                flag_definition.wanted_from({"flag": "search", "certified": 25, "baking": 50, "expiry": 1_990_000_000}),
                7,
            ),
            None,
        ),
        (
            flag_definition.definition(
                flag_definition.wanted_from({"flag": "search", "certified": 0, "labels": [25, 50]}), 7
            ),
            None,
        ),
        (flag(), None),
        (flag(targeting={}), None),
        (flag(targeting={"fractional": [["on", 10], ["off", 90]]}), "it has no metadata.revision"),
        (flag(defaultVariant="on"), "it has no metadata.revision"),
        (flag(state="DISABLED"), "it has no metadata.revision"),
        (flag(metadata={"revision": "7"}, defaultVariant="on"), "it has no metadata.revision"),
        (colour(), "its variants are {'red': 'r', 'blue': 'b'}, wanted are on: true and off: false"),
        (flag(variants={"on": 1, "off": 0}, **REVISION), "its variants are {'on': 1, 'off': 0}"),
        (flag(variants={"on": True, "off": False, "beta": True}, **REVISION), "it has the further variant beta"),
        (flag(variants={"on": True, "off": False, "aa25": True}, **REVISION), "it has the further variant aa25"),
    ],
)
def test_a_feature_does_not_take_the_name_of_somebody_elses_flag(definition: Json, message: str | None) -> None:
    hosts: dict[str, Json] = {
        "app1": {"flags": {"flags": {"search": definition, "theirs": colour()}}},
        "app2": {"flags": None},
    }
    found = flag_lint.flag_problems(hosts, {"features": [{"flag": "search"}, {"flag": "cart"}]}, "/etc/flags.json")
    assert len(found) == (message is not None)
    if message:
        assert found[0].startswith(f"app1: /etc/flags.json holds a flag search that is not Gradual's: {message}")


def test_a_file_that_cannot_be_read_is_told() -> None:
    hosts: dict[str, Json] = {
        "app2": {"flags": None, "flags_error": "/etc/flags.json: the flag file is not JSON: line 1"},
        "app1": {"flags": None, "flags_error": None},
    }
    (problem,) = flag_lint.flag_problems(hosts, {"features": []})
    assert problem.startswith("app2: /etc/flags.json: the flag file is not JSON: line 1. Mend the file, or remove it")


def test_a_key_that_only_some_providers_take_is_a_note() -> None:
    document = {"flags": {"theirs": flag(description="ours"), "others": flag()}}
    assert not takes(document)
    assert flag_lint.refusals(document) == [], "flagd's own schema allows it"
    (note,) = flag_lint.flag_notes({"app1": {"flags": document}, "app2": {"flags": document}, "app3": {"flags": None}})
    assert note.startswith(
        "flag theirs has the key 'description' in the flag file of app1, app2: flagd takes it, but the Python provider"
    )
