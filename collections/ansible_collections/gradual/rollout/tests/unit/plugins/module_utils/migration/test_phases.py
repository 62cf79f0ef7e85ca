"""Which pending revisions a phase applies now."""

from __future__ import annotations

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration.adapters import ADAPTERS
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Revision
from ansible_collections.gradual.rollout.plugins.module_utils.migration.phases import (
    IN_FILE,
    Entry,
    assigned,
    choices,
    split,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError


def revisions(*phases: str) -> list[Revision]:
    """One after the other, each the parent of the next."""
    return [
        Revision(str(number), (str(number - 1),), phase, "", False, f"{number}.py")
        for number, phase in enumerate(phases)
    ]


@pytest.mark.parametrize(
    ("phases", "asked", "applied", "left"),
    [
        (["expand", "expand"], "expand", 2, 0),
        (["expand", "contract"], "expand", 1, 1),
        (["expand", "data", "contract"], "expand", 1, 2),
        (["contract"], "expand", 0, 1),
        ([], "expand", 0, 0),
        (["expand", "contract", "unknown", "expand"], "contract", 4, 0),
    ],
)
def test_expand_applies_what_leads_up_to_another_phase(phases: list[str], asked: str, applied: int, left: int) -> None:
    now, later = split(revisions(*phases), asked, "alembic")
    assert (len(now), len(later)) == (applied, left)


@pytest.mark.parametrize(
    ("phases", "complaint"),
    [
        (["unknown"], '0.py does not name its phase.*write phase = "expand"'),
        (["expand", "contract", "unknown"], "2.py does not name its phase"),
        (["unknown", "unknown", "unknown"], r"0.py \(and 2 more\) does not name its phase"),
        (
            ["expand", "contract", "expand"],
            r"2 \(2.py\) is an expand revision, but it depends on 1, whose phase is contract",
        ),
    ],
)
def test_expand_refuses_what_it_would_have_to_skip_or_guess(phases: list[str], complaint: str) -> None:
    with pytest.raises(DatabaseError, match=complaint):
        split(revisions(*phases), "expand", "alembic")


@pytest.mark.parametrize(
    ("graph", "applied", "left"),
    [
        # Two apps: what one of them drops is nothing that the other one waits for.
        ({"a": ("contract", ""), "b": ("expand", "")}, "b", "a"),
        ({"a": ("contract", ""), "b": ("contract", "a"), "c": ("expand", "")}, "c", "ab"),
        ({"a": ("expand", ""), "b": ("contract", "a"), "c": ("expand", "a")}, "ac", "b"),
        # The merge of two branches waits for both.
        ({"a": ("contract", ""), "b": ("expand", ""), "c": ("contract", "ab")}, "b", "ac"),
        # A parent that is applied already is not pending.
        ({"b": ("expand", "a"), "c": ("contract", "a")}, "b", "c"),
    ],
)
def test_expand_applies_what_depends_on_nothing_of_another_phase(
    graph: dict[str, tuple[str, str]], applied: str, left: str
) -> None:
    pending = [Revision(name, tuple(parents), phase, "", False, name) for name, (phase, parents) in graph.items()]
    now, later = split(pending, "expand", "django")
    assert ("".join(one.revision for one in now), "".join(one.revision for one in later)) == (applied, left)


@pytest.mark.parametrize("parents", [("a",), ("b",)], ids=["directly", "by way of another one"])
def test_expand_that_depends_on_another_phase_is_refused_wherever_it_stands(parents: tuple[str, ...]) -> None:
    pending = [
        Revision("a", (), "contract", "", False, "a.py", phase_reason="by_lint: drop-in-expand in line 2"),
        Revision("b", ("a",), "contract", "", False, "b.py"),
        Revision("c", (), "expand", "", False, "c.py"),
        Revision("d", parents, "expand", "", False, "d.py"),
    ]
    with pytest.raises(DatabaseError) as seen:
        split(pending, "expand", "django")
    assert str(seen.value).startswith("d (d.py) is an expand revision, but it depends on a, whose phase is contract")
    # What to write when the files are not yours to edit.
    assert 'phases: [{revision: "a", phase: expand, reason: …}]' in str(seen.value)
    assert "works without d" in str(seen.value)


@pytest.mark.parametrize(
    ("tool", "name", "said"),
    [
        ("alembic", "0002", 'write phase = "expand" at the top.*phases: [{revision: "0002", phase: expand'),
        ("django", "auth.0002_more", 'write gradual_phase = "expand" in the class.*phases: [{app: auth, phase: expand'),
        ("sql", "0002_note", 'write the comment -- gradual: phase=expand.*phases: [{revision: "0002_note"'),
        ("sqitch", "view@v1", 'comment -- gradual: phase=expand at the top of the deploy.*[{revision: "view@v1"'),
    ],
)
def test_a_refusal_tells_what_to_write_for_this_tool(tool: str, name: str, said: str) -> None:
    with pytest.raises(DatabaseError) as seen:
        split([Revision(name, (), "unknown", "", False, "its-file")], "expand", tool)
    for part in said.split(".*"):
        assert part in str(seen.value)
    assert "or by_lint: true" in str(seen.value)


def test_every_tool_says_how_a_file_names_its_phase() -> None:
    assert sorted(IN_FILE) == sorted(ADAPTERS)


NAMES = {
    "auth.0001_initial": "unknown",
    "auth.0002_more": "unknown",
    "authority.0001_initial": "unknown",
    "shop.0001_initial": "expand",
    "shop.0002_drop": "contract",
}


def entry(phase: str = "expand", **key: str) -> dict[str, str]:
    return {**key, "phase": phase, "reason": "looked at by us"}


def files() -> dict[str, Revision]:
    return {name: Revision(name, (), phase, "", False, f"{name}.py") for name, phase in NAMES.items()}


@pytest.mark.parametrize(
    ("entries", "changed"),
    [
        ([], {}),
        ([entry(app="auth")], {"auth.0001_initial": "expand", "auth.0002_more": "expand"}),
        ([entry(revision="auth.0002_more")], {"auth.0002_more": "expand"}),
        (
            [entry(pattern="*.0001_*")],
            {"auth.0001_initial": "expand", "authority.0001_initial": "expand"},
        ),
        (
            # The first one that matches counts.
            [entry("contract", revision="auth.0002_more"), entry(app="auth")],
            {"auth.0001_initial": "expand", "auth.0002_more": "contract"},
        ),
        # What a file says wins over a wide entry, and an entry that agrees with it does no harm.
        ([entry(app="shop")], {}),
        ([entry(revision="shop.0001_initial")], {}),
    ],
)
def test_the_manifest_names_the_phase_of_files_that_do_not(entries: list[Entry], changed: dict[str, str]) -> None:
    told = assigned(files(), entries, "django")
    assert {name: one.phase for name, one in told.items()} == {**NAMES, **changed}
    assert {one["revision"]: one["phase"] for one in choices(list(told.values()))} == changed
    assert all(one["reason"] == "looked at by us" for one in choices(list(told.values())))


@pytest.mark.parametrize(
    ("tool", "given", "complaint"),
    [
        (
            "django",
            entry(app="autH"),
            r"migrations.phases\[0\].app: got 'autH', which matches none of the 5.*such as auth",
        ),
        ("django", entry(revision="auth.0002"), r"\.revision: got 'auth.0002', which matches none.*auth.0002_more"),
        ("alembic", entry(pattern="2026*"), r"\.pattern: got '2026\*', which matches none.*such as auth.0001_initial"),
        ("alembic", entry(app="auth"), "got app: auth, expected exactly one of revision or pattern"),
        ("django", entry(), "got none of them, expected exactly one of app, revision or pattern"),
        ("django", entry(app="auth", pattern="*"), r"got app: auth, pattern: \*, expected exactly one of"),
        (
            "django",
            entry(revision="shop.0002_drop"),
            r"got phase expand for shop.0002_drop, but its file shop.0002_drop.py says contract; remove this entry",
        ),
    ],
)
def test_an_entry_that_cannot_be_meant_is_refused(tool: str, given: Entry, complaint: str) -> None:
    with pytest.raises(DatabaseError, match=complaint):
        assigned(files(), [given], tool)


def test_a_file_that_cannot_be_run_is_told_in_both_phases_before_anything_else() -> None:
    pending = [*revisions("unknown"), Revision("1", (), "contract", "", False, "1.sql", problem="1.sql is broken")]
    for asked in ("expand", "contract"):
        with pytest.raises(DatabaseError, match=r"1\.sql is broken"):
            split(pending, asked, "sql")
