# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Types of columns: whether a change of type rewrites the table, as PostgreSQL 15 decides it.

Sources: ATColumnChangeRequiresRewrite (tablecmds.c), the support functions of varchar, numeric, varbit, timestamp, time
and interval, CheckIndexCompatible (indexcmds.c). tests/database/test_lint_types.py holds the answers against a server.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Mapping

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import statements
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import joined

KEPT, INDEXES, REWRITTEN = "kept", "indexes", "rewritten"
MOST_PRECISE = 6
_WHOLE_INTERVAL = 0x7FFF  # INTERVAL_FULL_RANGE (timestamp.h): an interval without fields
SERIAL = frozenset(("serial", "bigserial", "smallserial", "serial2", "serial4", "serial8"))
# Types of PostgreSQL and of its usual extensions, none of which is a domain with a constraint.
_PLAIN = SERIAL | frozenset((
    "int2", "int4", "int8", "smallint", "integer", "int", "bigint", "float4", "float8", "numeric", "decimal", "money",
    "bool", "boolean", "text", "varchar", "bpchar", "char", "name", "bytea", "bit", "varbit", "date", "time", "timetz",
    "timestamp", "timestamptz", "interval", "uuid", "json", "jsonb", "jsonpath", "xml", "inet", "cidr", "macaddr",
    "macaddr8", "point", "line", "lseg", "box", "path", "polygon", "circle", "tsvector", "tsquery", "oid", "regclass",
    "regtype", "regproc", "regconfig", "regrole", "xid", "xid8", "cid", "tid", "pg_lsn", "txid_snapshot",
    "pg_snapshot", "int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange", "int4multirange",
    "int8multirange", "nummultirange", "tsmultirange", "tstzmultirange", "datemultirange",
    "citext", "hstore", "ltree", "lquery", "ltxtquery", "cube", "seg", "geometry", "geography", "raster", "box2d",
    "box3d", "vector", "halfvec", "sparsevec", "ean13", "isbn", "isbn13", "issn", "ismn", "upc", "semver",
))  # fmt: skip
_OTHER_NAMES = {
    "smallint": "int2", "integer": "int4", "int": "int4", "bigint": "int8", "decimal": "numeric", "boolean": "bool",
    "serial": "int4", "serial4": "int4", "bigserial": "int8", "serial8": "int8", "smallserial": "int2",
    "serial2": "int2",
}  # fmt: skip
_PRECISE = frozenset(("timestamp", "timestamptz", "time", "timetz"))
# Binary coercible in pg_cast with a target that has no modifier → what happens to an index on the column.
_RELABELLED = {
    ("varchar", "text"): KEPT, ("text", "varchar"): KEPT, ("cidr", "inet"): KEPT, ("xml", "text"): KEPT,
    ("text", "citext"): INDEXES, ("varchar", "citext"): INDEXES, ("citext", "text"): INDEXES,
    ("citext", "varchar"): INDEXES, ("text", "bpchar"): INDEXES, ("varchar", "bpchar"): INDEXES,
    ("bit", "varbit"): INDEXES, ("int4", "oid"): INDEXES, ("oid", "int4"): INDEXES,
}  # fmt: skip


@dataclass(frozen=True)
class Type:
    """A type as written: name without pg_catalog or public, its modifiers, and whether it is an array of it."""

    name: str
    modifiers: tuple[Any, ...] = ()
    array: bool = False


@dataclass(frozen=True)
class Domain:
    """A domain: the type below it, whether it (or a domain below it) has a constraint, refuses NULL, has a volatile
    default, has any default."""

    base: Type
    constrained: bool
    required: bool = False
    volatile: bool = False
    default: bool = False


def of(node: Any) -> Type:
    """The type that a TypeName of the parser means."""
    words = joined(node.names)
    written = words[len("pg_catalog.") :] if words.startswith("pg_catalog.") else words
    modifiers = tuple(_number(one) for one in node.typmods or ())
    name = _OTHER_NAMES.get(written, written)
    scaled = (*modifiers, 0) if name == "numeric" and len(modifiers) == 1 else modifiers
    return Type(name, scaled, bool(node.arrayBounds))


def parsed(sql: str) -> Type | None:
    """The type that SQL text means, None when it is none."""
    try:
        tree = statements.pglast.parse_sql(f"SELECT NULL::{sql}")
        return of(tree[0].stmt.targetList[0].val.typeName)
    except (statements.ParseError, AttributeError, IndexError, TypeError):
        return None


def _number(node: Any) -> Any:
    value = getattr(node, "val", None)
    return getattr(value, "ival", getattr(value, "sval", str(node)))


def plain(kind: Type, made: frozenset[str] | set[str]) -> bool:
    """Whether it is no domain: a type of PostgreSQL, one of `made`, or an array, which no constraint of its elements
    makes PostgreSQL rewrite for."""
    return kind.array or kind.name in _PLAIN or kind.name in made


def change(old: Type, new: Type, domains: Mapping[str, Domain]) -> str:
    """KEPT: nothing is rewritten. INDEXES: only indexes are. REWRITTEN: the table is, or nothing here knows better."""
    if old == new:
        return KEPT
    if not new.array and new.name in domains:
        target = domains[new.name]
        return REWRITTEN if target.constrained else change(old, target.base, domains)
    if not old.array and old.name in domains:
        # The length of a domain's base type is not known to the planner.
        return change(replace(domains[old.name].base, modifiers=()), new, domains)
    if old.name == new.name and old.array == new.array:
        return KEPT if _wider(old, new) else REWRITTEN
    if old.array or new.array or new.modifiers:
        return REWRITTEN
    return _RELABELLED.get((old.name, new.name), REWRITTEN)


def _wider(old: Type, new: Type) -> bool:
    """Whether every value of one type fits the same type with other modifiers without a change."""
    if old.modifiers == new.modifiers or not new.modifiers:
        return True
    if old.array:
        return False
    if new.name in _PRECISE:
        return _at_least(old.modifiers, new.modifiers[0])
    if new.name == "interval":
        return new.modifiers[0] == _WHOLE_INTERVAL and _at_least(old.modifiers[1:], new.modifiers[1])
    if not old.modifiers:
        return False
    if new.name == "numeric":
        return bool(old.modifiers[1] == new.modifiers[1] and old.modifiers[0] <= new.modifiers[0])
    return bool(new.name in ("varchar", "varbit") and old.modifiers[0] <= new.modifiers[0])


def _at_least(old: tuple[Any, ...], precision: int) -> bool:
    return precision >= MOST_PRECISE or bool(old and old[0] <= precision)
