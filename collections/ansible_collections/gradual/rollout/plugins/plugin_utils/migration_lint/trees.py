# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a tree of PostgreSQL's parser names: its nodes, functions, columns and tables."""

from __future__ import annotations

from typing import Any, Iterator

_CATALOGS = ("pg_catalog.", "information_schema.", "pg_")


def name(relation: Any) -> str:
    """A table's name as written, without the schema public."""
    if relation is None:
        return ""
    schema = relation.schemaname
    return str(relation.relname) if schema in (None, "", "public") else f"{schema}.{relation.relname}"


def joined(parts: Any) -> str:
    """A name that the parser returns as a list of strings."""
    words = [str(one.sval) for one in parts if hasattr(one, "sval")]
    return ".".join(words[1:] if len(words) > 1 and words[0] == "public" else words)


def walk(tree: Any) -> Iterator[Any]:
    """Every node of a tree, each before those below it."""
    if isinstance(tree, (list, tuple)):
        for one in tree:
            yield from walk(one)
    elif hasattr(tree, "__slots__"):
        yield tree
        for key in tree.__slots__:
            yield from walk(getattr(tree, key, None))


def kind(node: Any) -> str:
    """The name of a node's class."""
    return type(node).__name__


def calls(tree: Any) -> Iterator[str]:
    """Names of the functions that an expression or a query calls."""
    return (joined(one.funcname) for one in walk(tree) if kind(one) == "FuncCall")


def column_of(reference: Any) -> str:
    """The column that a ColumnRef names; "" for a star."""
    return str(reference.fields[-1].sval) if hasattr(reference.fields[-1], "sval") else ""


def columns_of(tree: Any) -> list[str]:
    """Names of the columns that an expression names."""
    found = [column_of(one) for one in walk(tree) if kind(one) == "ColumnRef"]
    return [one for one in found if one]


def relations_of(tree: Any) -> list[Any]:
    """Tables (RangeVar) that a query names: not its own WITH queries, and not the system's catalogs."""
    own = {str(one.ctename) for one in walk(tree) if kind(one) == "CommonTableExpr"}
    found = [one for one in walk(tree) if kind(one) == "RangeVar"]
    return [one for one in found if name(one) not in own and not name(one).startswith(_CATALOGS)]
