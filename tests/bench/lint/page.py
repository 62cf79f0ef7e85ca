"""The results of the lint bench as a page, its claims, and the list of wrong verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import WARNING

from tests.bench.lint.cases import TOPICS
from tests.bench.lint.databases import ROWS, TIMES
from tests.bench.lint.truth import GROWTH, MOST, level
from tests.bench.lint.verdicts import OURS, OURS_AND_WARNINGS, TOOLS
from tests.bench.tables import table

Json = Mapping[str, Any]
WANTED = 0.97
STATEMENTS, OPERATIONS = 300, 60
TOOLS_OF_MIGRATIONS = ("alembic", "django")


def score(found: Sequence[Json], tool: str) -> tuple[float | None, float | None]:
    """(precision, recall) of a tool on these cases; None without a case that it stops, or without a harmful one."""
    stopped = [one for one in found if one["verdicts"][tool]]
    harmful = [one for one in found if one["harmful"]]
    right = sum(one["harmful"] for one in stopped)
    told = sum(finds(one, tool) for one in harmful)
    return (right / len(stopped) if stopped else None, told / len(harmful) if harmful else None)


def finds(one: Json, tool: str) -> bool:
    """Whether a tool says what a harmful case deserves: to stop it, or of many rows alone a warning."""
    enough = (
        tool == OURS and not one["by_hand"] and level(one["reasons"]) == WARNING and one["verdicts"][OURS_AND_WARNINGS]
    )
    return bool(one["verdicts"][tool] or enough)


def wrong(found: Sequence[Json], tool: str = OURS) -> list[Json]:
    """The cases that a tool judges wrongly, harmful ones that pass first."""
    missed = [one for one in found if one["harmful"] and not finds(one, tool)]
    return [*missed, *(one for one in found if not one["harmful"] and one["verdicts"][tool])]


def wrong_verdicts(results: Json) -> Iterator[str]:
    """Lines for whoever mends the rules."""
    for one in wrong(results["cases"]):
        yield f"{one['topic']}: {one['title']}"
        if one["earlier"]:
            yield f"    earlier: {'; '.join(one['earlier'])}"
        if one["title"].split() != one["sql"].rstrip(";").split():
            yield f"    sql: {' '.join(one['sql'].split())}"
        if one["tool"] != "sql":
            yield f"    which is: {'; '.join(one['statements'])}"
        yield f"    transaction: {'one' if one['transaction'] else 'none'}; lock: {one['lock'] or 'none'}"
        truth = f"HARMFUL: {'; '.join(one['reasons'][:3])}" if one["harmful"] else "harmless"
        yield f"    truth: {truth}"
        rules = f"error by {', '.join(one['verdicts'][OURS])}" if one["verdicts"][OURS] else "passes"
        warned = sorted(set(one["verdicts"][OURS_AND_WARNINGS]) - set(one["verdicts"][OURS]))
        yield f"    verdict: {rules}; warnings: {', '.join(warned) or 'none'}"


def check(results: Json) -> Iterator[tuple[bool, str, str]]:
    """(holds, claim, figures)."""
    found = results["cases"]
    operations = [one for one in found if one["topic"] in TOOLS_OF_MIGRATIONS]
    statements = len(found) - len(operations)
    yield statements >= STATEMENTS, f"at least {STATEMENTS} cases in SQL", str(statements)
    yield len(operations) >= OPERATIONS, f"at least {OPERATIONS} operations of Alembic and Django", str(len(operations))
    harmful = sum(one["harmful"] for one in found)
    yield 0.4 < harmful / len(found) < 0.6, "about half of the cases do harm", f"{harmful} of {len(found)}"
    for name, cases in (("SQL", [one for one in found if one not in operations]), ("operations", operations)):
        for what, value in zip(("precision", "recall"), score(cases, OURS), strict=True):
            yield (value or 0) >= WANTED, f"Gradual, {name}: {what} ≥ {WANTED}", _share(value)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def page(results: Json, data: str) -> str:
    """The page as Markdown."""
    found = results["cases"]
    topics = [one for one in (*TOPICS, *TOOLS_OF_MIGRATIONS) if any(case["topic"] == one for case in found)]
    return HEAD.format(
        data=data,
        conditions=results["conditions"],
        rows=ROWS,
        times=TIMES,
        growth=GROWTH,
        most=f"{MOST:.0%}",
        by_hand=_by_hand(found),
        checks=table(
            ["", "claim", "figures"],
            [["yes" if holds else "**no**", claim, told] for holds, claim, told in check(results)],
        ),
        tools=table(["tool", "precision", "recall", "harmful, passed", "harmless, stopped"], _by_tool(found)),
        precision=_by_topic(found, topics, 0),
        recall=_by_topic(found, topics, 1),
        warned=_warned(found),
        wrong=_wrong(found),
    )


def _warned(found: Sequence[Json]) -> str:
    alone = [one for one in found if one["verdicts"][OURS_AND_WARNINGS] and not one["verdicts"][OURS]]
    return f"{sum(one['harmful'] for one in alone)} of the {len(alone)} cases with warnings alone are harmful."


def _by_tool(found: Sequence[Json]) -> Iterator[list[str]]:
    for tool in TOOLS:
        missed = sum(one["harmful"] and not finds(one, tool) for one in found)
        stopped = sum(bool(not one["harmful"] and one["verdicts"][tool]) for one in found)
        yield [tool, *(_share(value) for value in score(found, tool)), str(missed), str(stopped)]


def _by_topic(found: Sequence[Json], topics: Sequence[str], which: int) -> str:
    rows = []
    for topic in topics:
        cases = [one for one in found if one["topic"] == topic]
        harmful = sum(one["harmful"] for one in cases)
        shares = [_share(score(cases, tool)[which]) for tool in TOOLS]
        rows.append([topic.replace("_", " "), str(len(cases)), str(harmful), *shares])
    return table(["topic", "cases", "harmful", *TOOLS], rows)


def _by_hand(found: Sequence[Json]) -> str:
    labelled = [one for one in found if one["by_hand"]]
    head = f"{len(labelled)} of {len(found)} cases have a label by hand."
    return "\n".join([head, *(f"- {one['title']}: {one['by_hand']}" for one in labelled)])


def _wrong(found: Sequence[Json]) -> str:
    rows = [
        [one["topic"], f"`{_short(one['sql'])}`", _reason(one), ", ".join(one["verdicts"][OURS]) or "passes"]
        for one in wrong(found)
    ]
    return table(["topic", "case", "truth", "verdict"], rows) if rows else "None."


def _reason(one: Json) -> str:
    if not one["harmful"]:
        return "harmless"
    return f"harmful: {_short(one['by_hand'] or one['reasons'][0])}"


def _short(text: str, most: int = 160) -> str:
    line = " ".join(text.split()).replace("`", "'")
    return line if len(line) <= most else f"{line[: most - 1]}…"


HEAD = """# How often the lint is right

`make bench-lint` measures this. `python -m tests.bench.lint --render` makes this page again from `{data}`.
`tests/bench/README.md` explains how the benchmark is built.

Each case is one revision of phase expand: some SQL, or operations of Alembic or Django, written from PostgreSQL's and
the tools' documentation (`tests/bench/lint/corpus`). A real server says what the case does. Then each tool says what it
thinks, from the files alone.

## How the truth is found

- Machine: {conditions}.
- A database has {rows:,} rows in each table, and a second one has {times} times as many. It has indexes, foreign keys,
  views, materialized views, functions, triggers, enums, domains, partitions, inheritance, sequences and policies. No
  table is empty, since a lock on an empty table harms nobody.
- The *old code* is a fixed list of statements (`tests/bench/lint/corpus/old_*.sql`): of the application's role, which
  owns nothing, of a report's role, and of the owner, since many applications connect as the owner. They read, insert,
  update and delete in every table, and use every column, view, function, sequence and type by its name. Each statement
  runs before and after the case.
- The SQL of an operation of Alembic or Django is what the tool itself makes of it.

A case is **harmful** if one of these was seen:

1. PostgreSQL refuses it.
2. A statement of the old code that worked before fails, or its answer is another one.
3. It works longer on the larger table while it holds a lock that conflicts with readers or writers of an existing
   table. Work is counted in pages (pg_stat_statements); more than {growth} pages more count as longer. For statements
   that cannot run in a transaction, such as CREATE INDEX CONCURRENTLY, the lock that counts is the one that they wait
   for while another transaction has written to every table.
4. It changes or locks more than {most} of the rows of an existing table in one transaction.

All else is harmless, also a strong lock for a moment: Gradual's lock timeout and its attempts are for that. Only a
reader waits for a lock on a materialized view, since nobody writes to one.

How much a tool must say:

- To 1, 2 and 3 the right answer is an error, which stops the rollout. A warning counts as letting it pass.
- To 4 alone a warning is enough, and an error is right too. Such a change stalls nobody but those who write the same
  rows, and a file does not tell how many rows a condition selects. That old code then reads the new values is what the
  author wants; that a statement of it fails is not. While the transaction holds a lock that blocks
  others, 3 is seen too, and only an error is right.
- Precision counts errors alone. How often a warning without an error is about a harmful case is told apart.

What this truth does not see:

- Sessions that keep a prepared statement over the case. PostgreSQL refuses such a statement after any change of a
  column's type that it returns, even `varchar(20)` to `varchar(40)`.
- Old code that does what the fixed list does not. The list writes NULL, zero, negative and large numbers,
  duplicates and references to nothing wherever the schema allows it, also to the columns of an earlier rollout.
- The names that monitoring or other tools use, the time a statement takes on other hardware, replication.
- Changes of few rows by their key. The old code reads other rows, since such a change is what its author wants.

{by_hand}

## What must hold

{checks}

## Figures

{tools}

- *precision*: of the cases that the tool stops, the share that is harmful. *recall*: of the harmful cases, the share
  that it stops.
- *Gradual, errors*: a finding of level error stops a rollout. A warning is shown and stops nothing; *errors and
  warnings* counts both as a stop. {warned}
- The other tools get the SQL that Alembic or Django makes; Gradual gets the migration's file.
- *squawk as it comes*: version 2 with its default rules; every finding counts. *without rules on style*: as Gradual
  calls it, with its opt-in rules on locks, and without rules on style and timeouts.
- *strong_migrations' checks*: strong_migrations reads migrations of Ruby on Rails. The checks that its documentation
  lists for PostgreSQL are written again for SQL (`tests/bench/lint/verdicts.py`). Its check against all SQL that is
  written by hand is left out; with it, it would stop every case.
- *pgroll, what it cannot express*: pgroll has no static check of the harm that SQL does. `pgroll validate` checks the
  form of its own migration files and the names in them. What it cannot express as an operation is raw SQL, for which
  its documentation guarantees nothing, so here such a case counts as stopped. What it can express, pgroll would run in
  its own way and not as written, so these figures say how much of this corpus it covers, not how well it works.

Precision by topic:

{precision}

Recall by topic:

{recall}

## Wrong verdicts of Gradual

Harmful cases that pass first; a warning is enough only where 4 is all the harm.

{wrong}
"""
