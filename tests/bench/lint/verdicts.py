"""What each tool says of a case: True when it would stop it.

Of strong_migrations and pgroll there is no linter of SQL to call: strong_migrations reads Ruby, and pgroll its own
operations. Their rules are written here again, from what their documentation says, in our own words.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pglast
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import squawk
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import ERROR
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Piece, Source, read
from pglast.enums import ConstrType

from tests.bench.lint.cases import Case
from tests.bench.lint.projects import findings

OURS, OURS_AND_WARNINGS = "Gradual, errors", "Gradual, errors and warnings"
TOOLS = (
    OURS,
    OURS_AND_WARNINGS,
    "squawk as it comes",
    "squawk without rules on style",
    "strong_migrations' checks",
    "pgroll, what it cannot express",
)


def verdicts(case: Case, environment: Path) -> dict[str, list[str]]:
    """Tool → the names of the rules by which it would stop the case; an empty list lets it pass. environment: a
    release's .venv."""
    ours = findings(case, environment)
    trees = nodes(case)
    return {
        OURS: sorted({one["rule"] for one in ours if one["level"] == ERROR}),
        OURS_AND_WARNINGS: sorted({one["rule"] for one in ours}),
        "squawk as it comes": squawk_as_it_comes(case),
        "squawk without rules on style": squawk_without_style(case),
        "strong_migrations' checks": sorted(set(strong(trees))),
        "pgroll, what it cannot express": sorted(set(pgroll(trees))),
    }


def squawk_as_it_comes(case: Case) -> list[str]:
    """Every rule of squawk's default configuration that speaks."""
    text = ";\n".join(case.statements) + ";\n"
    with tempfile.TemporaryDirectory(prefix="gradual-bench-") as folder:
        Path(folder, "case.sql").write_text(f"BEGIN;\n{text}COMMIT;\n" if case.transaction else text, encoding="utf-8")
        done = subprocess.run(
            [squawk.program(), "--reporter", "json", "--pg-version", "15.0", "case.sql"],
            cwd=folder, capture_output=True, text=True, check=False, timeout=30, env={"HOME": folder},
        )  # fmt: skip
    return sorted({one["rule_name"] for one in json.loads(done.stdout or "[]")})


def squawk_without_style(case: Case) -> list[str]:
    """Squawk as Gradual calls it: with its opt-in rules on locks, and without those on style and timeouts."""
    piece = Piece(";\n".join(case.statements), 1, 1 if case.transaction else None)
    return sorted({one.rule for one in squawk.listen([read(Source("1", "expand", "1.sql", (piece,)))])})


def nodes(case: Case) -> list[Any]:
    found: list[Any] = []
    for statement in case.statements:
        try:
            found += [one.stmt for one in pglast.parse_sql(statement)]
        except pglast.parser.ParseError:
            found.append(None)
    return found


def _name(relation: Any) -> str:
    return str(relation.relname) if relation is not None else ""


def _made(nodes: Sequence[Any]) -> set[str]:
    """Tables that the case makes: both tools know that nobody uses them."""
    return {_name(one.relation) for one in nodes if type(one).__name__ == "CreateStmt" and not one.if_not_exists}


def strong(nodes: Sequence[Any]) -> Iterator[str]:
    """The checks that the README of strong_migrations lists for PostgreSQL; its check against all SQL that is written
    by hand is left out, because it would stop every case."""
    new = _made(nodes)
    altered = any(type(one).__name__ == "AlterTableStmt" for one in nodes)
    for node in nodes:
        kind = type(node).__name__
        if kind == "AlterTableStmt" and node.objtype.name == "OBJECT_TABLE" and _name(node.relation) not in new:
            for command in node.cmds:
                yield from _strong_alter(command)
        elif kind == "IndexStmt" and not node.concurrent and _name(node.relation) not in new:
            yield "adding an index non-concurrently"
        elif kind == "RenameStmt" and _name(node.relation) not in new:
            yield from (word for what, word in _RENAMES.items() if node.renameType.name == what)
        elif kind == "UpdateStmt" and altered:
            yield "backfilling data in the transaction that alters a table"
        elif kind == "DropStmt" and node.removeType.name == "OBJECT_TABLE":
            yield "creating a table with force drops the old one"


_RENAMES = {
    "OBJECT_COLUMN": "renaming a column", "OBJECT_TABLE": "renaming a table", "OBJECT_SCHEMA": "renaming a schema",
}  # fmt: skip
_STRONG_CONSTRAINTS = {
    ConstrType.CONSTR_CHECK: "adding a check constraint", ConstrType.CONSTR_FOREIGN: "adding a foreign key",
    ConstrType.CONSTR_UNIQUE: "adding a unique constraint",
    ConstrType.CONSTR_EXCLUSION: "adding an exclusion constraint",
}  # fmt: skip


def _strong_alter(command: Any) -> Iterator[str]:
    what, definition = command.subtype.name, command.def_
    if what == "AT_DropColumn":
        yield "removing a column"
    elif what == "AT_AlterColumnType":
        # Without the old type, only text, and varchar or numeric without limits, are known to need no rewrite.
        if definition.typeName.names[-1].sval not in ("text", "varchar", "numeric") or definition.typeName.typmods:
            yield "changing the type of a column"
    elif what == "AT_SetNotNull":
        yield "setting NOT NULL on an existing column"
    elif what == "AT_AddConstraint":
        if (
            not definition.skip_validation
            and definition.indexname is None
            and definition.contype in _STRONG_CONSTRAINTS
        ):
            yield _STRONG_CONSTRAINTS[definition.contype]
    elif what == "AT_AddColumn":
        yield from _strong_column(definition)


def _strong_column(column: Any) -> Iterator[str]:
    kinds = {one.contype: one for one in column.constraints or ()}
    kind = column.typeName.names[-1].sval
    default = kinds.get(ConstrType.CONSTR_DEFAULT)
    if kind in ("serial", "bigserial", "smallserial") or ConstrType.CONSTR_IDENTITY in kinds:
        yield "adding an auto-incrementing column"
    if ConstrType.CONSTR_GENERATED in kinds:
        yield "adding a stored generated column"
    if default is not None and set(calls(default.raw_expr)) - {"now"}:
        yield "adding a column with a volatile default"
    if kind == "json":
        yield "adding a json column"
    if ConstrType.CONSTR_FOREIGN in kinds:
        yield "adding a foreign key"


def calls(tree: Any) -> Iterator[str]:
    """Names of the functions that an expression calls."""
    if isinstance(tree, tuple):
        for one in tree:
            yield from calls(one)
    elif hasattr(tree, "__slots__"):
        if type(tree).__name__ == "FuncCall":
            yield str(tree.funcname[-1].sval)
        for key in tree.__slots__:
            yield from calls(getattr(tree, key, None))


# Statements that pgroll has an operation for, which it runs in its own way: through new columns, triggers, NOT VALID
# and concurrent indexes. `pgroll convert` turns them into operations.
_PGROLL_ALTER = frozenset((
    "AT_AddColumn", "AT_DropColumn", "AT_AlterColumnType", "AT_ColumnDefault", "AT_SetNotNull", "AT_DropNotNull",
    "AT_AddConstraint", "AT_DropConstraint", "AT_ReplicaIdentity",
))  # fmt: skip


def pgroll(nodes: Sequence[Any]) -> Iterator[str]:
    """What becomes a raw SQL operation, of which pgroll's documentation says that it cannot guarantee anything."""
    for node in nodes:
        kind = type(node).__name__
        known = (
            kind in ("CreateStmt", "IndexStmt")
            or (kind == "AlterTableStmt" and all(one.subtype.name in _PGROLL_ALTER for one in node.cmds))
            or (kind == "DropStmt" and node.removeType.name in ("OBJECT_TABLE", "OBJECT_INDEX"))
            or (
                kind == "RenameStmt"
                and node.renameType.name in ("OBJECT_TABLE", "OBJECT_COLUMN", "OBJECT_TABCONSTRAINT")
            )
            or (kind == "CommentStmt" and node.objtype.name in ("OBJECT_TABLE", "OBJECT_COLUMN"))
        )
        if not known:
            yield "raw SQL"
