"""The results of the projects bench as a page, and its claims."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.bench.projects.releases import Project
from tests.bench.tables import table

Json = Mapping[str, Any]
WANTED_PROJECTS = 5
ALLOWED = 1.5
WANTED_RIGHT = 0.95
ERROR = "error"


def ratio(one: Json) -> float:
    """Median seconds of Gradual / median seconds of the project's own tool."""
    return float(statistics.median(one["ours"]) / statistics.median(one["own"]))


def judgement(finding: Json, project: Project) -> Json | None:
    """What we say of a finding: the first entry of its rule that names its revision or none; None without one."""
    return next(
        (
            one
            for one in project.judged
            if one["rule"] == finding["rule"] and one.get("revision", finding["revision"]) == finding["revision"]
        ),
        None,
    )


def errors(one: Json) -> list[Json]:
    return [finding for finding in one["findings"] if finding["level"] == ERROR]


def check(results: Json, known: Sequence[Project]) -> Iterator[tuple[bool, str, str]]:
    """(holds, claim, figures)."""
    found, named = results["projects"], {one.name: one for one in known}
    tools = Counter(one["adapter"] for one in found)
    yield (
        len(found) >= WANTED_PROJECTS and len(tools) > 1,
        f"at least {WANTED_PROJECTS} projects, of both tools",
        ", ".join(f"{count} {tool}" for tool, count in sorted(tools.items())),
    )
    yield _all(found, "forward: the same schema as by the project's own tool", lambda one: one["same_schema"])
    yield _all(found, "back: to the schema of before, as far as the project's own tool can revert", _went_back)
    yield _all(found, "forward again: what was reverted", _went_again)
    yield _all(found, "once more: 0 changes", lambda one: one["changes_at_the_end"] == 0)
    for one in found:
        told = (
            f"{statistics.median(one['ours']):.1f} s against {statistics.median(one['own']):.1f} s, {ratio(one):.2f} ×"
        )
        yield ratio(one) <= ALLOWED, f"{one['name']}: ≤ {ALLOWED} × the time of its own tool", told
    said = [judgement(finding, named[one["name"]]) for one in found for finding in errors(one)]
    yield None not in said, "every error is judged by hand", f"{len(said) - said.count(None)} of {len(said)}"
    right = sum(bool(one and one["right"]) for one in said)
    share = right / len(said) if said else 0.0
    yield (
        share >= WANTED_RIGHT,
        f"of the errors, {WANTED_RIGHT:.0%} or more are right",
        f"{right} of {len(said)}, {share:.0%}",
    )


def _went_back(one: Json) -> bool:
    if one["irreversible"]:
        return not one["own_reverts"]
    return bool(one["reverted"] == one["expand"] and one["same_as_before"])


def _went_again(one: Json) -> bool:
    """Where the way back did not lead to the schema of before, the second way forward begins with a fresh copy."""
    return bool(one["expanded_again"] == (one["reverted"] if one["same_as_before"] else one["expand"]))


def _all(found: Sequence[Json], claim: str, holds: Any) -> tuple[bool, str, str]:
    wrong = [one["name"] for one in found if not holds(one)]
    return not wrong, claim, f"not {', '.join(wrong)}" if wrong else f"{len(found)} of {len(found)} projects"


def page(results: Json, known: Sequence[Project], data: str) -> str:
    """The page as Markdown."""
    found, named = results["projects"], {one.name: one for one in known}
    checks = [["yes" if holds else "**no**", claim, told] for holds, claim, told in check(results, known)]
    return HEAD.format(
        data=data,
        conditions=results["conditions"],
        projects=table(["project", "from", "to", "tool", "pending revisions"], map(_project, found)),
        checks=table(["", "claim", "figures"], checks),
        way=table(
            ["project", "expand", "reverted", "as before", "again", "contract", "as the own tool", "once more"],
            map(_way, found),
        ),
        irreversible=_listed(line for one in found for line in _left(one)),
        times=table(
            ["project", "own tool", "Gradual", "ratio", "rounds", "attempts", "lint"], map(_time, found)
        ),
        rules=table(["rule", "level", *(one["name"] for one in found)], _by_rule(found)),
        by_lint=table(["project", "expand", "contract", "deploy.yml by by_lint alone"], map(_by_lint, found)),
        settings=table(["project", "revisions", "setting", "reason"], _settings(found, named)),
        judged=table(["project", "rule", "revision", "errors", "our judgement", "why"], _judged(found, named)),
    )  # fmt: skip


def _project(one: Json) -> list[str]:
    return [f"{one['title']} (`{one['distribution']}`)", one["old"], one["new"], one["tool"], str(len(one["phases"]))]


def _way(one: Json) -> list[str]:
    yes = {True: "yes", False: "**no**"}
    counts = [str(one[key]) for key in ("expand", "reverted")]
    return [
        one["name"], *counts, yes[one["same_as_before"]], str(one["expanded_again"]), str(one["contract"]),
        yes[one["same_schema"]], f"{one['changes_at_the_end']} changes",
    ]  # fmt: skip


def _time(one: Json) -> list[str]:
    own, ours = (f"{statistics.median(one[key]):.1f} s" for key in ("own", "ours"))
    rest = [f"{ratio(one):.2f}", str(len(one["ours"])), str(one["attempts"]), f"{one['lint_seconds']:.1f} s"]
    return [one["name"], own, ours, *rest]


def _by_rule(found: Sequence[Json]) -> Iterator[list[str]]:
    counts = Counter(
        (finding["level"], finding["rule"], one["name"]) for one in found for finding in one["findings"]
    )  # fmt: skip
    for level, rule in sorted({key[:2] for key in counts}):
        yield [rule, level, *(str(counts[level, rule, one["name"]] or "") for one in found)]


def _by_lint(one: Json) -> list[str]:
    phases = Counter(choice["phase"] for choice in one["by_lint"])
    return [one["name"], str(phases["expand"]), str(phases["contract"]), "; ".join(one["mistakes"]) or "goes on"]


def _settings(found: Sequence[Json], named: Mapping[str, Project]) -> Iterator[list[str]]:
    for one in found:
        project = named[one["name"]]
        for entry in project.phases:
            key = next(key for key in ("app", "revision", "pattern") if key in entry)
            yield [one["name"], f"`{key}: {entry[key]}`", f"phase: {entry['phase']}", entry["reason"]]
        for entry in project.accepted:
            yield [one["name"], f"`{entry['pattern']}`", "waivers of all errors", entry["reason"]]


def _judged(found: Sequence[Json], named: Mapping[str, Project]) -> Iterator[list[str]]:
    """A line for each rule and revision."""
    for one in found:
        groups = Counter((finding["rule"], finding["revision"]) for finding in errors(one))
        for (rule, revision), count in groups.items():
            said = judgement({"rule": rule, "revision": revision}, named[one["name"]])
            verdict = "not judged" if said is None else "right" if said["right"] else "**wrong**"
            yield [one["name"], rule, revision, str(count), verdict, said["why"] if said else ""]


def _left(one: Json) -> Iterator[str]:
    """What the way back could not do, or left."""
    if one["irreversible"]:
        own = "its own tool can" if one["own_reverts"] else "its own tool cannot either"
        yield f"{one['name']}: {own}. {one['irreversible']}"
    elif not one["same_as_before"]:
        lines = [line for line in one["differs"] if not line[2:].startswith("--")]
        yield f"{one['name']}: after the project's own downgrades the schema differs: `{'`, `'.join(lines)}`"


def _listed(lines: Iterator[str]) -> str:
    return "\n".join(f"- {one}" for one in lines) or "Every way back led to the schema of before."


HEAD = """# Public projects, migrated from one release to the next

`make bench-projects` measures this. `python -m tests.bench.projects --render` makes this page again from `{data}`.
pip takes pinned releases from PyPI; nothing of these projects is in this repository but their names, their versions and
our settings (`tests/bench/projects/data`). The network is needed for pip only.

{projects}

## How it is measured

- Machine: {conditions}.
- The old release makes its database with its own tool, and some rows are written into it. Every run below begins with
  a copy of that database.
- *Own tool*: `manage.py migrate`, or `alembic upgrade head`, of the new release, once for all revisions.
- *Gradual*: the lint with `by_lint: true` and with our settings, a proven backup, the expand revisions, a second proven
  backup, the contract revisions, with the arguments of the roles preflight, migrate and contract. The time is that of
  expand and contract, without backups and lint.
- *Back*: after expand, each expand revision is reverted, the last one first. Contract revisions are not reverted: the
  way back from them is the backup, which was proven by a restore. *Again*: expand a second time. *Once more*: expand
  and contract after all of that.
- Both run as the same unprivileged user, with the same environment, on the same server.

## What must hold

{checks}

## The way

{way}

{irreversible}

## Time

Medians over the rounds.

{times}

## Findings

Each pending revision was judged as if it were of the phase expand, so these are also the findings of those that
`by_lint` leaves to contract.

{rules}

What `by_lint: true` makes of them without any other setting:

{by_lint}

Our settings beside `by_lint: true`, as an operator writes them who accepts what the findings say:

{settings}

## Are the errors right?

This is our own judgement, as a database administrator's: right means that the statement would have stopped users or
broken the previous release on a busy site.

{judged}
"""
