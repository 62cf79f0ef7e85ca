# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the migrations of a release before anything changes: the locks they take, what breaks old code, and what could
not be read.

Runs on the controller, on the unpacked artifact. docs/migration-lint.md explains it; rules.py has the rules.
"""

from __future__ import annotations

import datetime
import sys
from typing import Any, Iterator, Mapping, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.migration import adapters, steps
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import UNKNOWN
from ansible_collections.gradual.rollout.plugins.module_utils.migration.phases import (
    Entry,
    choices,
    refuse_impossible,
)
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import by_lint as by_lint_choice
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import squawk, statements, waiver
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.checks import repeatable, rules
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.locks import locks
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import (
    ERROR,
    EXPAND_ONLY,
    RULES,
    WARNING,
    Rule,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.sources import sources
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.state import State
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import (
    MISSING,
    Read,
    Source,
    Statement,
    short,
)

Finding = dict[str, Any]


def lint(
    adapter: str,
    directory: str,
    path: str,
    target: str,
    recorded: Sequence[str] | None = None,
    phase: str = "expand",
    waivers: Sequence[Mapping[str, Any]] = (),
    today: datetime.date | None = None,
    phases: Sequence[Entry] = (),
    by_lint: bool = False,
    applied: Mapping[str, str] | None = None,
    empty: bool = False,
) -> dict[str, Any]:
    """Findings for the revisions up to the target.

    recorded: what the tool's table in the database holds (None: unknown, so every revision is checked). phase: expand
    checks the revisions that deploy.yml would apply, and those without a phase; contract checks all. phases, by_lint:
    as in the manifest. applied: Gradual's records of applied revisions, {revision: sha256}. empty: nobody has tables in
    the database.
    Returns {revisions: the checked ones, findings, mistakes: of the waivers and of the order, phases: those that no
    file has}.
    DatabaseError when the release cannot be read, or an applied revision was edited.
    """
    if statements.pglast is None:
        raise DatabaseError(MISSING.format(python=sys.executable))
    tool = adapters.of(adapter, directory, path, phases)
    guessed = by_lint_choice.supposed(tool.revisions, by_lint)
    tool.revisions = {**tool.revisions, **guessed}
    had = tool.named(recorded or [])
    sums = steps.here(applied or {}, tool)
    steps.refuse_edited({name: sums[name] for name in tool.current(had) & set(sums)}, tool)
    pending = tool.pending(had, target)
    refuse_impossible(pending)
    ahead = {one.revision for one in pending}
    # Earlier revisions are read too, for constraints that they validated. Squashed ones are not simply the rest.
    road = [*(one for one in tool.pending([], target) if one.revision not in ahead), *pending]
    wanted = [one.revision for one in pending if phase == "contract" or one.phase in ("expand", UNKNOWN)]
    day = today or datetime.date.today()
    # What the database cannot tell is not taken as new.
    rollout = frozenset(wanted) if recorded is not None else frozenset()
    state = State(rollout, empty)
    found = [one for one in judge(sources(adapter, directory, road, path), state) if one["revision"] in wanted]
    for one in found:
        one["waived"] = waiver.of(one, waivers, day)
    wrong = [*waiver.expired(waivers, day), *waiver.unused(waivers, found, wanted, set(tool.revisions))]
    chosen = [*choices(pending), *by_lint_choice.chosen([one for one in wanted if one in guessed], stops(found))]
    later = {one["revision"] for one in chosen if one["phase"] == "contract"}
    wrong += by_lint_choice.disorder(pending, chosen, adapter) if phase == "expand" else []
    return {
        "revisions": [name for name in wanted if name not in later],
        "findings": [one for one in found if one["revision"] not in later],
        "mistakes": wrong,
        "phases": chosen,
    }


def judge(found: Sequence[Source], state: State | None = None) -> list[Finding]:
    """Findings for revisions in order; what an earlier one created or validated is known to a later one. state: which
    revisions belong together."""
    reads = [statements.read(one) for one in found]
    said = squawk.listen(reads)
    state = state or State()
    return [
        finding
        for number, read in enumerate(reads)
        for finding in revision(read, [one for one in said if one.read == number], state)
    ]


def revision(read: Read, said: Sequence[squawk.Said], state: State) -> list[Finding]:
    """Findings for one revision. said: squawk's for it."""
    state.begin(read)
    findings = [_told(read, 1, "", "phase-missing")] if read.source.phase == UNKNOWN else []
    findings += [
        _told(read, one.line, one.what, one.rule)
        for one in read.unseen
        if one.rule not in EXPAND_ONLY or read.source.phase == "expand"
    ]
    for place, statement in enumerate(read.statements):
        others = (one for one in read.statements if one is not statement and not one.nested)
        broken = _rules(statement, state, all(repeatable(one.node) for one in others))
        findings += [
            _told(read, statement.line, statement.sql, rule, statement, note=state.notes.get(rule, ""))
            for rule in broken
        ]
        more = {one.rule: one for one in said if one.statement == place}
        findings += [
            _told(read, statement.line, statement.sql, one.rule, statement, _words(one))
            for one in more.values()
            if one.rule not in broken and one.rule not in state.harmless
        ]
    return findings


def _rules(statement: Statement, state: State, alone: bool) -> list[str]:
    """The broken rules; `unseen` for a tree that the checks cannot handle."""
    try:
        return sorted(rules(statement, state, alone))
    except (AttributeError, IndexError, KeyError, TypeError):
        return ["unseen"]


def _words(said: squawk.Said) -> Rule:
    """Our rule for squawk's, or a warning with squawk's own text for an unknown one."""
    return RULES.get(said.rule) or Rule(
        WARNING, "not known", said.message, said.help or "see https://squawkhq.com/docs/" + said.rule
    )


def _told(
    read: Read,
    line: int,
    sql: str,
    name: str,
    statement: Statement | None = None,
    rule: Rule | None = None,
    note: str = "",
) -> Finding:
    rule = rule or RULES[name]
    taken = [f"{mode} on {table}" for mode, table in locks(statement.node)] if statement else []
    return {
        "revision": read.source.revision, "file": read.source.file, "line": line, "rule": name, "statement": short(sql),
        "lock": ", ".join(taken) or rule.lock,
        # Unread text has no statement, and its description may be longer than one.
        "why": rule.why + (f": {sql}" if name == "unseen" and sql else note),
        "instead": rule.instead, "level": rule.level, "waived": None,
    }  # fmt: skip


def stops(findings: Sequence[Finding]) -> list[Finding]:
    """The findings that stop a rollout."""
    return [one for one in findings if one["level"] == ERROR and not one["waived"]]


def lines(findings: Sequence[Finding]) -> Iterator[str]:
    """Each finding as two lines: place and statement, then the reason and what to write instead."""
    for one in findings:
        mark = f"waived until {one['waived']['until']}: {one['waived']['reason']}" if one["waived"] else one["level"]
        yield f"{one['file']}, line {one['line']}: {one['statement'] or 'the file'}"
        yield f"    {one['rule']} ({mark}): {one['why']}. Lock: {one['lock']}. Write instead: {one['instead']}."
