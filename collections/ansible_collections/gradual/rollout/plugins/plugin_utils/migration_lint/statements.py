# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""SQL as PostgreSQL's own parser reads it (pglast, which holds libpg_query), DO blocks looked into. On the controller
only."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Iterator

ast: Any
pglast: Any
ParseError: Any
try:
    import pglast
    from pglast import ast
    from pglast.parser import ParseError
except ImportError:
    # Told by lint.lint, which nothing here is called without.
    pglast = ast = None
    ParseError = ValueError

# Numbers of the transactions of DO blocks count down from here.
_BLOCKS = -1_000_000
_LOOPS = frozenset(
    ("PLpgSQL_stmt_loop", "PLpgSQL_stmt_while", "PLpgSQL_stmt_fori", "PLpgSQL_stmt_fors", "PLpgSQL_stmt_dynfors",
     "PLpgSQL_stmt_forc", "PLpgSQL_stmt_foreach_a")
)  # fmt: skip
MISSING = (
    "migration_lint reads SQL with pglast, which the Python that runs Ansible here does not have; install it: {python}"
    " -m pip install pglast"
)


@dataclass(frozen=True)
class Piece:
    """SQL of a revision: its text, the line of the revision's file in which it begins, and which of the tool's
    transactions is open then (None: none).

    certain: whether it runs whatever the database holds. known_types: (table, column, type before this text, as SQL)
    where the source tells it, such as Alembic's existing_type.
    """

    sql: str
    line: int
    transaction: int | None = 1
    certain: bool = True
    known_types: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Unseen:
    """Text that could not be read completely: the rule to report, its line, and what it is."""

    rule: str
    line: int
    what: str


@dataclass(frozen=True)
class Source:
    """One revision as it will run."""

    revision: str
    phase: str
    file: str
    pieces: tuple[Piece, ...]
    unseen: tuple[Unseen, ...] = ()


@dataclass
class Statement:
    """One statement. `transaction`: the one that it is in, None outside of any (those that the SQL itself begins are
    negative); `nested`: in a DO block.

    certain: it runs whatever the database holds, so that what it makes was not there before. known_types: those of its
    piece. looped: it runs in a loop, in one transaction; variables: those of its block. commits: a block that ends
    transactions. undone: a ROLLBACK of the revision takes it back.
    """

    sql: str
    line: int
    node: Any
    transaction: int | None
    nested: bool = False
    certain: bool = True
    known_types: tuple[tuple[str, str, str], ...] = ()
    looped: bool = False
    variables: frozenset[str] = frozenset()
    commits: bool = False
    undone: bool = False


@dataclass
class Read:
    """A revision's statements in order, and what could not be read."""

    source: Source
    statements: list[Statement] = field(default_factory=list)
    unseen: list[Unseen] = field(default_factory=list)


def read(source: Source) -> Read:
    """The statements of a revision."""
    found = Read(source, unseen=list(source.unseen))
    count, begun = 0, False
    for piece in source.pieces:
        for sql, line in _split(piece):
            node = _parsed(sql, line, found)
            if isinstance(node, ast.TransactionStmt):
                found.statements.append(Statement(sql, line, node, piece.transaction))
                kind = node.kind.name
                begun = kind in ("TRANS_STMT_BEGIN", "TRANS_STMT_START") or (
                    begun and kind not in ("TRANS_STMT_COMMIT", "TRANS_STMT_ROLLBACK")
                )
                count += 1
            elif node is not None:
                inside = -count if begun else piece.transaction
                found.statements.append(
                    Statement(sql, line, node, inside, certain=piece.certain, known_types=piece.known_types)
                )
                if isinstance(node, ast.DoStmt):
                    # Outside of a transaction, a block is one of its own.
                    own = inside if inside is not None else _BLOCKS - len(found.statements)
                    found.statements += _block(found.statements[-1], own, found)
    _undo(found.statements)
    return found


def _undo(statements: list[Statement]) -> None:
    """Mark what a ROLLBACK takes back: since BEGIN, or since the savepoint."""
    marks: list[tuple[str, int]] = []
    for place, one in enumerate(statements):
        if not isinstance(one.node, ast.TransactionStmt):
            continue
        what, own = one.node.kind.name, str(one.node.savepoint_name or "")
        if what in ("TRANS_STMT_BEGIN", "TRANS_STMT_START", "TRANS_STMT_SAVEPOINT"):
            marks.append((own, place))
        elif what in ("TRANS_STMT_COMMIT", "TRANS_STMT_PREPARE"):
            marks.clear()
        elif what in ("TRANS_STMT_ROLLBACK", "TRANS_STMT_ROLLBACK_TO"):
            begun = next((mark for name, mark in reversed(marks) if name == own), place)
            for each in statements[begun:place]:
                each.undone = True
            if what == "TRANS_STMT_ROLLBACK":
                marks.clear()


def _split(piece: Piece) -> Iterator[tuple[str, int]]:
    """Each statement of a text with its line; split at semicolons when the parser refuses the whole text."""
    try:
        slices = pglast.split(piece.sql, with_parser=True, only_slices=True)
    except ParseError:
        try:
            slices = pglast.split(piece.sql, with_parser=False, only_slices=True)
        except ParseError:
            slices = (slice(0, len(piece.sql)),)
    for one in slices:
        text = piece.sql[one]
        start = one.start + len(text) - len(text.lstrip())
        if text.strip():
            yield text.strip(), piece.line + piece.sql.count("\n", 0, start)


def _parsed(sql: str, line: int, found: Read) -> Any:
    try:
        trees = pglast.parse_sql(sql)
    except ParseError as error:
        found.unseen.append(Unseen("unseen", line, f"PostgreSQL's parser refuses it ({error.args[0]}): {short(sql)}"))
        return None
    return trees[0].stmt if trees else None


def _block(block: Statement, transaction: int | None, found: Read) -> Iterator[Statement]:
    """The statements of a DO block that are text."""
    sql, line, node = block.sql, block.line, block.node
    body = next((one.arg.sval for one in node.args if one.defname == "as"), "")
    language = next((one.arg.sval for one in node.args if one.defname == "language"), "plpgsql")
    if language != "plpgsql":
        found.unseen.append(Unseen("unseen", line, f"a block of {language}"))
        return
    first = line + sql.count("\n", 0, max(0, sql.find(body)))
    try:
        tree = json.loads(pglast.parser.parse_plpgsql_json(sql))
    except ParseError as error:
        found.unseen.append(Unseen("unseen", line, f"a DO block that the parser refuses ({error.args[0]})"))
        return
    # A block that commits is a batch job: each of its statements is short.
    commits = block.commits = "PLpgSQL_stmt_commit" in json.dumps(tree)
    variables = frozenset(_names(tree))
    for text, offset, looped in _queries(tree, 1, found, first):
        inner = _parsed(text, first + offset - 1, found)
        if inner is not None:
            yield Statement(
                text, first + offset - 1, inner, None if commits else transaction, nested=True, certain=False,
                looped=looped and not commits, variables=variables,
            )  # fmt: skip


def _names(tree: Any) -> Iterator[str]:
    """Names of a block's variables."""
    if isinstance(tree, list):
        for one in tree:
            yield from _names(one)
    elif isinstance(tree, dict):
        if isinstance(tree.get("refname"), str):
            yield tree["refname"]
        for value in tree.values():
            yield from _names(value)


def _queries(tree: Any, line: int, found: Read, first: int, looped: bool = False) -> Iterator[tuple[str, int, bool]]:
    """(statement, line in the body, whether a loop runs it) for all that a PL/pgSQL tree runs; expressions are no
    statements (parseMode 2)."""
    if isinstance(tree, list):
        for one in tree:
            yield from _queries(one, line, found, first, looped)
    elif isinstance(tree, dict):
        for name, value in tree.items():
            here = value.get("lineno", line) if isinstance(value, dict) else line
            if name in ("PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"):
                text = _literal(value["query"]["PLpgSQL_expr"]["query"])
                if text is None:
                    found.unseen.append(
                        Unseen(
                            "dynamic-sql", first + here - 1, f"EXECUTE {short(value['query']['PLpgSQL_expr']['query'])}"
                        )
                    )
                else:
                    yield text, here, looped
                yield from _queries(value.get("body", []), here, found, first, looped or name in _LOOPS)
            elif name == "PLpgSQL_expr":
                if value.get("parseMode", 0) == 0:
                    yield value["query"], here, looped
            elif name in _LOOPS:
                # The query of a FOR loop runs once.
                yield from _queries(value.get("query", []), here, found, first, looped)
                rest = {key: one for key, one in value.items() if key != "query"}
                yield from _queries(rest, here, found, first, True)
            else:
                yield from _queries(value, here, found, first, looped)


# What format() puts in for %I and %L, when that is not known: the name of a table with users, and a text.
_PLACEHOLDERS = {"%I": '"a name that is not known"', "%L": "'a text that is not known'", "%%": "%"}


def _literal(expression: str) -> str | None:
    """The text of an expression that is only text. What format() fills in as %I or %L stands for an unknown name or
    text."""
    try:
        target = pglast.parse_sql(f"SELECT {expression}")[0].stmt.targetList[0].val
    except ParseError:
        return None
    formats = isinstance(target, ast.FuncCall) and target.funcname[-1].sval == "format"
    text = target.args[0] if formats else target
    if not (isinstance(text, ast.A_Const) and isinstance(text.val, ast.String)):
        return None
    if not formats:
        return str(text.val.sval)
    filled = re.sub("%[IL%]", lambda found: _PLACEHOLDERS[found[0]], str(text.val.sval))
    return None if re.search(r"%(?:\d+\$)?[-\d*]*[sIL]", filled) else filled


def short(sql: str, most: int = 80) -> str:
    """The first characters of a statement, on one line."""
    text = " ".join(sql.split())
    return text if len(text) <= most else text[: most - 1] + "…"
