"""Definitions of flags: what is built, planned and found wrong; and what the real provider makes of it."""

from __future__ import annotations

import os
import pathlib
import time
import typing as t

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.flags import definition as flag_definition
from ansible_collections.gradual.rollout.plugins.module_utils.flags import file as flag_file
from ansible_collections.gradual.rollout.plugins.module_utils.flags import lint as flag_lint
from hypothesis import given, settings
from hypothesis import strategies as st
from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext

Json = dict[str, t.Any]
FUTURE = 1_990_000_000
USERS = [f"user-{number}" for number in range(10_000)]


def wanted(
    certified: int = 25, baking: int | None = None, expiry: float | None = None, flag: str = "search"
) -> flag_definition.Wanted:
    return flag_definition.wanted_from({"flag": flag, "certified": certified, "baking": baking, "expiry": expiry})


def document(*flags: flag_definition.Wanted, revision: int = 7) -> Json:
    return flag_definition.plan(None, flags, revision, "storefront").document


RUNNING = {"<": [{"var": "$flagd.timestamp"}, FUTURE]}


@pytest.mark.parametrize(
    ("flag", "rule"),
    [
        (wanted(0), None),
        (wanted(25), {"fractional": [["on", 25], ["off", 75]]}),
        (wanted(100), {"fractional": [["on", 100], ["off", 0]]}),
        (
            wanted(25, 50, FUTURE),
            {"if": [RUNNING, {"fractional": [["on", 50], ["off", 50]]}, {"fractional": [["on", 25], ["off", 75]]}]},
        ),
        (wanted(0, 25, FUTURE), {"if": [RUNNING, {"fractional": [["on", 25], ["off", 75]]}, "off"]}),
        (wanted(50, 0, FUTURE), {"if": [RUNNING, "off", {"fractional": [["on", 50], ["off", 50]]}]}),
        (wanted(25, 25, None), {"fractional": [["on", 25], ["off", 75]]}),
    ],
)
def test_targeting(flag: flag_definition.Wanted, rule: Json | None) -> None:
    assert flag_definition.targeting(flag) == rule
    assert flag_lint.lint(document(flag)) == []


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "an entry has no flag"),
        ({"flag": "search", "certified": 101}, "certified is 101; write a whole number from 0 to 100"),
        ({"flag": "search", "certified": -1}, "certified is -1"),
        ({"flag": "search", "certified": True}, "certified is True"),
        ({"flag": "search", "certified": 25.5}, "certified is 25.5"),
        ({"flag": "search", "certified": 25, "baking": 50}, "needs an expiry in seconds since the epoch, got None"),
        ({"flag": "search", "certified": 25, "baking": 50, "expiry": float("nan")}, "needs an expiry"),
        ({"flag": "search", "certified": 25, "baking": 50, "expiry": "tomorrow"}, "got 'tomorrow'"),
    ],
)
def test_what_cannot_be_wanted(entry: Json, message: str) -> None:
    with pytest.raises(flag_definition.FlagFileError) as error:
        flag_definition.wanted_from(entry)
    assert message in str(error.value)


OLD = document(wanted(25), revision=7)
FOREIGN = {
    "flags": {
        **OLD["flags"],
        "banner": {"state": "ENABLED", "variants": {"red": "r", "blue": "b"}, "defaultVariant": "red"},
    },
    "metadata": {"team": "web"},
}
BROKEN = {"flags": {"banner": {"state": "ON", "variants": {"on": True}, "defaultVariant": "on"}}}


@pytest.mark.parametrize(
    ("current", "flags", "revision", "differing", "new_revision"),
    [
        (None, [wanted(25)], 7, ["search"], 7),
        (None, [wanted(0)], 1, ["search"], 1),
        (OLD, [wanted(25)], 9, [], 7),
        (OLD, [wanted(25), wanted(25, flag="cart")], 9, ["cart"], 9),
        (OLD, [wanted(50)], 9, ["search"], 9),
        (OLD, [wanted(50)], 7, ["search"], 8),
        (OLD, [wanted(50)], 3, ["search"], 8),
        (OLD, [wanted(25, 50, FUTURE)], 9, ["search"], 9),
        (FOREIGN, [wanted(0)], 9, ["search"], 9),
        ({"flags": {}, "metadata": None}, [wanted(0)], 9, ["search"], 9),
    ],
)
def test_plan(
    current: Json | None, flags: list[flag_definition.Wanted], revision: int, differing: list[str], new_revision: int
) -> None:
    change = flag_definition.plan(current, flags, revision)
    assert (change.differing, change.revision, change.changed) == (differing, new_revision, bool(differing))
    for flag in flags if differing else []:
        assert flag_definition.revision_of(change.document, flag.flag) == new_revision
    again = flag_definition.plan(change.document, flags, revision)
    assert (again.changed, again.document) == (False, change.document)


def test_other_flags_and_metadata_stay() -> None:
    change = flag_definition.plan(FOREIGN, [wanted(50)], 9, "storefront")
    assert change.document["flags"]["banner"] == FOREIGN["flags"]["banner"]
    assert change.document["metadata"] == {
        "team": "web",
        "revision": 9,
        "application": "storefront",
        "features": '["search"]',
    }
    assert FOREIGN["metadata"] == {"team": "web"}


def test_a_file_that_would_be_refused_stops_what_shows_a_feature_but_never_what_turns_it_off() -> None:
    with pytest.raises(flag_definition.FlagFileError, match="flag banner: state is 'ON'"):
        flag_definition.plan(BROKEN, [wanted(25)], 9)
    change = flag_definition.plan(BROKEN, [wanted(0)], 9)
    assert change.changed
    assert change.warnings == ["flag banner: state is 'ON'; write ENABLED or DISABLED"]


def test_a_stage_is_extended_only_while_it_is_shown() -> None:
    shown = flag_definition.Wanted("search", 25, baking=50, expiry=1000)
    later = flag_definition.Wanted("search", 25, baking=50, expiry=1060)
    document = {"flags": {"search": flag_definition.definition(shown, 7)}}
    assert flag_definition.not_shown(document, [later], now=999) == []
    assert flag_definition.not_shown(document, [later], now=1000) == ["search"], "it has ended"
    off = {"flags": {"search": flag_definition.definition(flag_definition.Wanted("search", 0), 8)}}
    other = {"flags": {"search": flag_definition.definition(flag_definition.Wanted("search", 0, 50, 1000), 8)}}
    changes: list[Json | None] = [off, other, {"flags": {}}, {"flags": {"search": 3}}, {}, None]
    for changed in changes:
        assert flag_definition.not_shown(changed, [later], now=999) == ["search"]


def test_flags_are_taken_out() -> None:
    change = flag_definition.plan(FOREIGN, [wanted(100)], 9, absent=True)
    assert (change.differing, list(change.document["flags"]), change.document["metadata"]["revision"]) == (
        ["search"],
        ["banner"],
        9,
    )
    assert not flag_definition.plan(change.document, [wanted(100)], 10, absent=True).changed


def test_one_flag_twice_is_refused() -> None:
    with pytest.raises(flag_definition.FlagFileError, match="search is named more than once"):
        flag_definition.plan(None, [wanted(25), wanted(50)], 1)


def flag_with(**changes: t.Any) -> Json:
    return {"flags": {"search": {**flag_definition.definition(wanted(25), 1), **changes}}}


@pytest.mark.parametrize(
    ("hostile", "message"),
    [
        ([], "no object"),
        ({"flags": []}, "no object"),
        ({"flags": {"search": None}}, "is None; write an object"),
        (flag_with(state="ON"), "state is 'ON'; write ENABLED or DISABLED"),
        (flag_with(state="DISABLED"), "gives the default in the code"),
        (flag_with(variants={}), "has no variants"),
        (flag_with(variants={"on": True, "off": "no"}), "different types"),
        (flag_with(defaultVariant="of"), "defaultVariant is 'of'; write one of off, on"),
        (flag_with(defaultVariant=None), "defaultVariant is None"),
        (
            flag_with(targeting={"fractional": [["on", 25], ["of", 75]]}),
            "names 'of', which is no variant: those users get an error",
        ),
        (flag_with(targeting={"fractional": [["on", 25], ["off", 95]]}), "sum to 120"),
        (flag_with(targeting={"fractional": [["off", 75], ["on", 25]]}), "names off before on"),
        (flag_with(targeting={"fractional": [["on", -5], ["off", 105]]}), "weight -5"),
        (flag_with(targeting={"fractional": [["on", "25"], ["off", 75]]}), "weight '25'"),
        (flag_with(targeting={"fractional": [["on", 25.5], ["off", 74.5]]}), "weight 25.5"),
        (flag_with(targeting={"fractional": ["on", 25]}), "write a pair"),
        (flag_with(targeting={"fractional": []}), "write [[on, 25]"),
        (flag_with(targeting="onn"), "names the variant 'onn'"),
        (flag_with(targeting=True), "gives true, which is no variant"),
        (flag_with(targeting={"if": [{"==": [1, 1]}, "on", "of"]}), "names the variant 'of'"),
        (flag_with(targeting={"if": [True]}), "if needs a condition"),
        (flag_with(targeting={"if": [True, {"fractional": [["on", 1], ["off", 1]]}, "off"]}), "sum to 2"),
        (flag_with(targeting={"a": 1, "b": 2}), "one operator"),
        (flag_with(targeting=[1]), "one operator"),
    ],
)
def test_lint(hostile: t.Any, message: str) -> None:
    assert any(message in mistake for mistake in flag_lint.lint(hostile)), flag_lint.lint(hostile)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["on", "off", "ENABLED", "if", "fractional"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["if", "fractional", "var", "x"]), inner, max_size=2)
    ),
    max_leaves=12,
)
hostile_flag = json_values | st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("state", "variants", "defaultVariant", "targeting", "metadata"), json_values)
)


@given(
    json_values
    | st.fixed_dictionaries(
        {"flags": st.dictionaries(st.text(max_size=4), hostile_flag, max_size=3)}, optional={"metadata": json_values}
    )
)
@settings(max_examples=400, deadline=None)
def test_no_file_makes_the_lint_or_a_plan_for_nobody_raise(hostile: t.Any) -> None:
    mistakes = flag_lint.lint(hostile)
    assert all(isinstance(mistake, str) for mistake in mistakes)
    if isinstance(hostile, dict) and isinstance(hostile.get("flags"), dict):
        change = flag_definition.plan(hostile, [wanted(0)], 5)
        assert (
            change.document["flags"]["search"]
            == {
                **flag_definition.definition(wanted(0), 0),
                "metadata": {"revision": change.revision},
            }
            or not change.changed
        )


def test_deep_nesting_is_told_not_followed() -> None:
    rule: t.Any = "on"
    for _level in range(100):
        rule = {"if": [True, rule, "off"]}
    assert any("deeper than" in mistake for mistake in flag_lint.lint(flag_with(targeting=rule)))
    with pytest.raises(flag_definition.FlagFileError, match="not JSON"):
        flag_definition.parse("[" * 100_000)


# The real provider, reading the file that the module's own writer has written.


@pytest.fixture(scope="module")
def having(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[t.Callable[..., set[str]]]:
    """having(document, flag) -> the users whom the provider gives the flag, once it has read the document."""
    path = tmp_path_factory.mktemp("provider") / "flags.json"
    flag_file.write(str(path), flag_definition.render(document(wanted(0), revision=1)))
    provider = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=str(path), deadline_ms=50)
    api.set_provider(provider, domain="test_flagd")
    client = api.get_client(domain="test_flagd")

    def users_with(built: Json | None = None, flag: str = "search") -> set[str]:
        if built is not None:
            flag_file.write(str(path), flag_definition.render(built))
            revision = flag_definition.revision_of(built, flag)
            until = time.monotonic() + 15
            while (
                client.get_boolean_details(flag, False, EvaluationContext("x")).flag_metadata.get("revision")
                != revision
            ):
                assert time.monotonic() < until, f"revision {revision} was not read"
                time.sleep(0.1)
                flag_file.renew(str(path))
        details = {user: client.get_boolean_details(flag, False, EvaluationContext(user)) for user in USERS}
        assert {each.error_code for each in details.values()} == {None}
        return {user for user, each in details.items() if each.value}

    yield users_with
    provider.shutdown()


def test_growing_keeps_every_user_and_the_ends_are_exact(having: t.Callable[..., set[str]]) -> None:
    nobody, quarter, half, everybody, back = (
        having(document(wanted(percent), revision=10 + k)) for k, percent in enumerate((0, 25, 50, 100, 25))
    )
    assert nobody == set()
    assert quarter < half < everybody == set(USERS)
    assert back == quarter
    assert 0.235 < len(quarter) / len(USERS) < 0.265
    assert 0.48 < len(half) / len(USERS) < 0.52


def test_a_baking_share_ends_by_itself_for_the_same_users(having: t.Callable[..., set[str]]) -> None:
    quarter = having(document(wanted(25), revision=20))
    expiry = int(time.time()) + 5
    assert having(document(wanted(25, 50, expiry), revision=21)) > quarter
    while time.time() <= expiry + 0.1:
        time.sleep(0.1)
    assert having() == quarter


@pytest.mark.parametrize(
    ("certified", "baking", "revision", "now", "then"), [(0, 100, 30, 10_000, 0), (100, 0, 40, 0, 10_000)]
)
def test_ends_inside_an_expiring_rule_are_exact(
    having: t.Callable[..., set[str]], certified: int, baking: int, revision: int, now: int, then: int
) -> None:
    assert len(having(document(wanted(certified, baking, FUTURE), revision=revision))) == now
    assert len(having(document(wanted(certified, baking, 1_000_000_000), revision=revision + 1))) == then


def test_a_file_whose_clock_was_ahead_is_still_replaced_by_a_newer_one(
    having: t.Callable[..., set[str]], tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "flags.json"
    path.write_text("{}")
    ahead = time.time() + 3600
    os.utime(path, (ahead, ahead))
    flag_file.write(str(path), flag_definition.render(document(wanted(25))))
    assert path.stat().st_mtime > ahead
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_what_was_set_last_is_found_without_the_ledger() -> None:
    first = flag_definition.plan(None, [flag_definition.Wanted("old", 100)], 1).document
    assert flag_definition.managed(first) == ["old"]
    second = flag_definition.plan(
        first, [flag_definition.Wanted("search", 0), flag_definition.Wanted("basket", 0)], 2
    ).document
    assert flag_definition.managed(second) == [
        "basket",
        "search",
    ], "what an earlier rollout has finished stays with its users"
    off = flag_definition.plan(
        second, [flag_definition.Wanted(name, 0) for name in flag_definition.managed(second)], 3, mark=False
    )
    assert not off.changed
    without = flag_definition.plan(second, [], 4)
    assert (without.changed, flag_definition.managed(without.document), without.differing) == (
        True,
        [],
        [],
    ), "a release without features leaves others alone"
    assert not flag_definition.plan(without.document, [], 5).changed
    assert not flag_definition.plan(None, [], 5).changed


def test_in_a_file_of_an_earlier_version_all_flags_of_gradual_are_found() -> None:
    document = flag_definition.plan(
        None, [flag_definition.Wanted("search", 100), flag_definition.Wanted("basket", 25, 50, 9)], 7
    ).document
    del document["metadata"]["features"]
    document["flags"]["theirs"] = {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": "on",
        "metadata": {"revision": 3},
    }
    document["flags"]["theirs-too"] = {"state": "ENABLED", "variants": {"a": 1}, "defaultVariant": "off"}
    document["flags"]["odd"] = None
    assert flag_definition.managed(document) == ["basket", "search"]
    for broken in ("[", "{}", None, 5, '["gone", 3]'):
        assert flag_definition.managed({**document, "metadata": {"features": broken}}) in (["basket", "search"], [])
    assert flag_definition.managed(None) == []
