# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""A killed flag in the flag file: off, marked, and off it stays whatever else is wanted of it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.flags import kill, lint
from ansible_collections.gradual.rollout.plugins.module_utils.flags.definition import (
    FlagFileError,
    Wanted,
    definition,
    plan,
)
from ansible_collections.gradual.rollout.plugins.module_utils.flags.kill_mark import Mark, mark_of

NOON = 1_790_000_000
AT = "2026-09-21T14:13:20Z"
STAGE = Wanted("search", certified=25, baking=50, expiry=NOON + 60)
Document = dict[str, Any]


def document(*wanted: Wanted, revision: int = 7) -> Document:
    return {"flags": {each.flag: definition(each, revision) for each in wanted}, "metadata": {"revision": revision}}


def killed(current: Document | None, by: str = "mia", now: float = NOON) -> Any:
    return kill.killed(current, "search", by, "wrong prices", 8, now)


def test_a_kill_turns_off_and_marks_and_touches_no_other_flag() -> None:
    before = document(STAGE, Wanted("cart", 100))
    change = killed(before)
    flag = change.document["flags"]["search"]
    assert mark_of(flag) == Mark(
        AT, "mia", "wrong prices", "50 % of users until 2026-09-21T14:14:20Z, then 25 % of users"
    )
    assert flag == {**definition(Wanted("search", 0), 8), "metadata": flag["metadata"]}
    assert (change.changed, change.revision, flag["metadata"]["revision"]) == (True, 8, 8)
    assert change.document["flags"]["cart"] == before["flags"]["cart"]
    assert lint.lint(change.document) + lint.refusals(change.document) == []


def test_the_time_of_a_kill_is_the_same_on_hosts_with_other_clocks() -> None:
    late = kill.killed(document(STAGE), "search", "mia", "wrong prices", 8, NOON + 7, NOON)
    assert late.document == killed(document(STAGE)).document


def test_a_second_kill_changes_nothing_and_keeps_the_first_mark() -> None:
    first = killed(document(STAGE)).document
    again = killed(first, by="bob", now=NOON + 99)
    assert (again.changed, again.document) == (False, first)


def test_a_flag_that_is_off_already_gets_the_mark_and_a_revision_that_tells_who_has_read_it() -> None:
    change = killed(document(Wanted("search", 0), revision=30))
    assert (change.changed, change.revision) == (True, 31)
    assert mark_of(change.document["flags"]["search"])


@pytest.mark.parametrize("current", [None, {"flags": {}}])
def test_a_file_that_is_missing_or_broken_has_every_flag(current: Document | None) -> None:
    assert kill.has(current, "search") is (current is None)


def test_a_missing_file_is_written() -> None:
    assert mark_of(killed(None).document["flags"]["search"])


def test_a_flag_of_others_is_refused() -> None:
    colour = {"state": "ENABLED", "variants": {"red": "r", "blue": "b"}, "defaultVariant": "red"}
    with pytest.raises(FlagFileError, match="flag search is not Gradual's: its variants are"):
        killed({"flags": {"search": colour}})


SHOWN = {
    "a stage": (STAGE, False),
    "100 %": (Wanted("search", 100), False),
    "labels": (Wanted("search", 0, labels=(25, 50)), False),
    "off": (Wanted("search", 0), True),
}


@pytest.mark.parametrize(("wanted", "possible"), SHOWN.values(), ids=SHOWN)
def test_a_killed_flag_can_only_be_off(wanted: Wanted, possible: bool) -> None:
    current = killed(document(STAGE, Wanted("cart", 100))).document
    if possible:
        assert not plan(current, [wanted], 9).differing
        return
    with pytest.raises(FlagFileError) as refused:
        plan(current, [wanted], 9)
    assert str(refused.value) == (
        f"the flag search was killed at {AT} by mia: wrong prices. It stays off. To let rollouts show it again:"
        " ansible-playbook playbooks/allow_flag.yml -e flag=search"
    )
    assert plan(current, [Wanted("cart", 50)], 9).differing == ["cart"], "other flags are not concerned"


def test_a_flag_that_was_turned_on_by_hand_goes_off_and_keeps_its_mark() -> None:
    current = killed(document(STAGE)).document
    current["flags"]["search"]["targeting"] = {"fractional": [["on", 100], ["off", 0]]}
    change = plan(current, [Wanted("search", 0)], 9)
    assert change.differing == ["search"]
    assert mark_of(change.document["flags"]["search"]) == Mark(
        AT, "mia", "wrong prices", "50 % of users until 2026-09-21T14:14:20Z, then 25 % of users"
    )


def test_a_retired_flag_takes_its_mark_with_it() -> None:
    current = killed(document(STAGE)).document
    assert plan(current, [Wanted("search", 100)], 9, absent=True).document["flags"] == {}


def test_allowed_it_is_off_and_can_be_shown_again() -> None:
    change = kill.allowed(killed(document(STAGE)).document, "search", 9)
    flag = change.document["flags"]["search"]
    assert (change.changed, flag) == (True, definition(Wanted("search", 0), 9))
    assert plan(change.document, [STAGE], 10).differing == ["search"]
    assert not kill.allowed(change.document, "search", 10).changed


def test_allowing_a_flag_that_is_not_killed_leaves_it_as_it_is() -> None:
    before = document(Wanted("search", 100))
    change = kill.allowed(before, "search", 9)
    assert (change.changed, change.document) == (False, before)


@pytest.mark.parametrize(
    ("held", "now", "told"),
    [
        (definition(STAGE, 1), NOON + 59, "50 % of users until 2026-09-21T14:14:20Z, then 25 % of users"),
        (definition(STAGE, 1), NOON + 60, "25 % of users"),
        (
            definition(Wanted("search", 0, 25, NOON + 60), 1),
            NOON,
            "25 % of users until 2026-09-21T14:14:20Z, then nobody",
        ),
        (definition(Wanted("search", 100), 1), NOON, "100 % of users"),
        (definition(Wanted("search", 0, labels=(25, 50)), 1), NOON, "nobody"),
        (definition(Wanted("search", 0), 1), NOON, "nobody"),
        ({"targeting": {"if": [{"in": ["@x", {"var": "email"}]}, "on", "off"]}}, NOON, "not known"),
        ({"targeting": "on"}, NOON, "not known"),
        ("damaged", NOON, "not known"),
        (None, NOON, "not known"),
    ],
)
def test_what_a_flag_showed(held: Any, now: float, told: str) -> None:
    assert kill.showed(held, now) == told


def test_preflight_names_each_killed_feature_once() -> None:
    marked, other = killed(document(STAGE)).document, document(STAGE)
    hosts = {"app1": {"flags": marked}, "app2": {"flags": other}, "app3": {"flags": marked}}
    (problem,) = lint.flag_problems(hosts, {"features": [{"flag": "search"}, {"flag": "cart"}]})
    assert problem == (
        f"the flag search was killed at {AT} by mia: wrong prices (marked on app1, app3). To let rollouts show it"
        " again: ansible-playbook playbooks/allow_flag.yml -e flag=search. To deploy with the feature off,"
        " take it out of the manifest"
    )
    assert lint.flag_problems(hosts, {"features": [{"flag": "cart"}]}) == []
