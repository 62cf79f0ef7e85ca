# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the read revisions say about the schema. A later revision is judged with it; what no revision says is not known.

learning.py fills it in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import facts
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.column_types import Domain, Type
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.constraints import (
    ForeignKey,
    Key,
    accepts,
    moved_foreign_key,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.facts import (
    Address,
    Column,
    Facts,
    Index,
    permits,
    warns,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import calls, columns_of

MATVIEW = "materialized view"
KEYLESS = ": {} is published, but has no primary key or replica identity, so every UPDATE and DELETE of it fails"
OPEN, RESTRICTS = "open", "restricts"
UNIQUE, INDEX, OTHER, UNKNOWN = "unique", "index", "other", "unknown"
# Words of usual names of constraints and indexes; the first word of a name counts before the last ones.
_WORDS = {
    **dict.fromkeys(("uq", "uk", "ux", "uix", "uniq", "unique", "pk", "pkey", "key"), UNIQUE),
    **dict.fromkeys(("ix", "idx", "index"), INDEX),
    **dict.fromkeys(("fk", "fkey", "foreign", "ck", "chk", "check", "excl"), OTHER),
}
_FIRST = frozenset(("uq", "uk", "ux", "uix", "pk", "ix", "idx", "fk", "ck", "chk"))
# Functions with one value for all rows, which PostgreSQL stores once; a volatile one makes it rewrite the table.
_STABLE = frozenset((
    "now", "transaction_timestamp", "statement_timestamp", "current_setting", "lower", "upper", "to_tsvector",
    "jsonb_build_object", "jsonb_build_array", "json_build_object", "json_build_array", "make_interval", "make_date",
    "timezone", "date_trunc", "length", "md5", "array_fill", "coalesce", "concat", "to_timestamp", "current_user",
    "version", "abs", "age", "array_append", "btrim", "ceil", "ceiling", "chr", "concat_ws", "convert_from",
    "convert_to", "current_database", "current_schema", "date_part", "daterange", "decode", "div", "encode", "exp",
    "extract", "floor", "greatest", "int4range", "int8range", "jsonb_set", "least", "left", "lpad", "ltrim",
    "make_time", "make_timestamp", "make_timestamptz", "mod", "numrange", "pg_typeof", "point", "power", "repeat",
    "replace", "reverse", "right", "round", "rpad", "rtrim", "sha256", "sign", "split_part", "sqrt",
    "string_to_array", "substr", "substring", "to_char", "to_date", "to_json", "to_jsonb", "to_number", "translate",
    "trunc", "tsrange", "tstzrange", "txid_current", "pg_current_xact_id", "uuid_nil",
))  # fmt: skip


@dataclass(frozen=True)
class Check:
    """A CHECK: its expression; the column that it says is not NULL, or ""; whether all rows were checked."""

    test: Any
    column: str
    valid: bool


@dataclass(frozen=True)
class Function:
    """returns: the type; steady: IMMUTABLE or STABLE; definer: SECURITY DEFINER; body: its text, "" if it has none."""

    returns: str
    steady: bool
    definer: bool
    language: str
    body: str


@dataclass(frozen=True)
class Partition:
    """parent: the partitioned table; bound: as the parser has it."""

    parent: str
    bound: Any


def _check(key: Column, check: Check, moved: facts.Moved) -> tuple[Any, Any] | None:
    """A CHECK goes with any of its columns; under another name of a column its expression is not known."""
    after = moved(("constraint", *key))
    named = {one: moved(("column", key[0], one)) for one in columns_of(check.test)}
    if after is None or None in named.values():
        return None
    if all(then is not None and then[2] == one for one, then in named.items()):
        return after[1:], check
    column = named.get(check.column)
    return after[1:], Check(None, column[2] if column else "", check.valid)


def _foreign(key: Column, one: ForeignKey, moved: facts.Moved) -> tuple[Any, Any] | None:
    after, now = moved(("constraint", *key)), moved_foreign_key(key[0], one, moved)
    return (after[1:], now) if after is not None and now is not None else None


_CHECKS = facts.kept(_check, facts.same)
_FOREIGN = facts.kept(_foreign, facts.same)


@dataclass
class Catalog(Facts):
    """Facts; a key with a table is (table, column) or (table, constraint)."""

    relations: dict[str, str] = field(default_factory=dict, metadata=permits("table"))
    """Name → table, view, sequence or MATVIEW: what is there whatever conditions of the revisions said."""
    columns: dict[Column, Type] = field(default_factory=dict, metadata=permits("column"))
    complete: dict[str, frozenset[str]] = field(default_factory=dict, metadata=facts.COLUMNS)
    """Table → all its columns, where they are known."""
    bare: set[Column] = field(default_factory=set, metadata=permits("column"))
    """Columns without a default."""
    filled: dict[Column, frozenset[str]] = field(default_factory=dict, metadata=facts.PROOFS)
    """Columns that are never NULL: "" by NOT NULL, or the valid CHECKs that say so."""
    keys: dict[Column, frozenset[str]] = field(default_factory=dict, metadata=facts.PROOFS)
    """Columns that are unique by themselves → the constraints and indexes that say so."""
    watched: dict[Column, frozenset[str]] = field(default_factory=dict, metadata=facts.WATCHERS)
    """Columns in a CHECK, or in an index with an expression or a condition: a new type scans or rebuilds."""
    checks: dict[Column, Check] = field(default_factory=dict, metadata=_CHECKS)
    foreign: dict[Column, ForeignKey] = field(default_factory=dict, metadata=_FOREIGN)
    constraints: dict[Column, str] = field(default_factory=dict, metadata=warns("constraint"))
    indexes: dict[str, Index] = field(default_factory=dict, metadata=facts.INDEXES)
    partitioned: dict[str, tuple[str, ...]] = field(default_factory=dict, metadata=permits("table"))
    """Partitioned table → columns of its key; "" for an expression."""
    defaults: dict[str, str] = field(default_factory=dict, metadata=facts.RELATED)
    """Partitioned table → its default partition."""
    partitions: dict[str, Partition] = field(default_factory=dict, metadata=permits("table"))
    bound: dict[Address, frozenset[Column]] = field(default_factory=dict, metadata=facts.USERS)
    """View, generated column or trigger → the columns (* for all) that it uses, whose type PostgreSQL then keeps."""
    views: dict[str, Any] = field(default_factory=dict, metadata=permits("view"))
    """View → the CREATE VIEW that made it."""
    types: set[str] = field(default_factory=set, metadata=warns("type"))
    """Types that are no domains. One that a condition makes is believed: else such a type is there already."""
    domains: dict[str, Domain] = field(default_factory=dict, metadata=permits("type"))
    functions: dict[str, Function] = field(default_factory=dict, metadata=permits("function"))
    """Signature → the function."""
    triggers: dict[Column, str] = field(default_factory=dict, metadata=permits("trigger"))
    """(table, trigger) → name of its function."""
    unlogged: set[str] = field(default_factory=set, metadata=warns("table"))
    heap: set[str] = field(default_factory=set, metadata=permits("table"))
    """Tables that no revision gave an access method or a tablespace of their own."""
    secured: set[str] = field(default_factory=set, metadata=warns("table"))
    """Tables with row security."""
    policies: dict[Column, str] = field(default_factory=dict, metadata=permits("policy"))
    """(table, policy) → OPEN if it lets everybody see and write every row, RESTRICTS, or ""."""
    primaries: set[Column] = field(default_factory=set, metadata=permits("constraint"))
    """(table, primary key)."""
    identities: dict[str, str] = field(default_factory=dict, metadata=permits("table"))
    """Table → its replica identity, as ReplicaIdentityStmt has it: d(efault), f(ull), i(ndex), n(othing)."""
    published: set[str] = field(default_factory=set, metadata=warns("table"))
    """Tables of a publication of UPDATE or DELETE."""
    granted: set[tuple[Address, str]] = field(default_factory=set, metadata=facts.GRANTS)
    """(what, role) of each GRANT; "public" for everybody."""

    def volatile(self, expression: Any) -> bool:
        """Whether an expression may differ from row to row; a function that was not read may."""
        return any(self.unsteady(one) for one in calls(expression))

    def unsteady(self, function: str) -> bool:
        """Whether a function is not known as one that only computes."""
        known = [one.steady for signature, one in self.functions.items() if signature.startswith(f"{function}(")]
        return function.split(".")[-1] not in _STABLE and not (known and all(known))

    def only(self, function: str) -> str:
        """The signature of a function that is named without its types, if one is known, else the name."""
        found = [one for one in self.functions if one.startswith(f"{function}(")]
        return found[0] if len(found) == 1 else function

    def constraint(self, of: str, named: str) -> str:
        """UNIQUE, INDEX or OTHER: as a revision made it, else by its name; UNKNOWN."""
        if (of, named) in self.constraints:
            return self.constraints[(of, named)]
        words = re.split(r"[^a-z0-9]+", named.rpartition(".")[2].lower())
        if words[0] in _FIRST:
            return _WORDS[words[0]]
        return next((_WORDS[one] for one in reversed(words) if one in _WORDS), UNKNOWN)

    def primary(self, of: str) -> tuple[str, ...]:
        """The columns of a table's primary key, as far as they are known."""
        named = [index_name(of, one) for table, one in self.primaries if table == of]
        return self.indexes[named[0]].columns if len(named) == 1 and named[0] in self.indexes else ()

    def key(self, index: str) -> Key | None:
        """What an index certainly makes unique; None if it does not, or only for some rows."""
        one = self.indexes.get(index)
        if one is None or not one.unique or one.partial or not one.certain:
            return None
        return Key(frozenset(one.columns), one.deferrable)

    def accepts(self, of: str, new: Any) -> bool:
        """Whether a known constraint of the table refuses already whatever a new one would refuse."""
        checks = [one.test for (table, _name), one in self.checks.items() if table == of]
        foreign = [one for (table, _name), one in self.foreign.items() if table == of]
        keys = [self.key(one) for one, index in self.indexes.items() if index.table == of]
        return any(accepts(new, one) for one in (*checks, *foreign, *keys) if one is not None)

    def bound_to(self, of: str, column: str) -> bool:
        """Whether a view, a generated column or a trigger uses a column."""
        return any({(of, column), (of, "*")} & used for used in self.bound.values())

    def others(self, function: str, signature: str) -> bool:
        """Whether a function of this name with other arguments is known."""
        return any(one.startswith(f"{function}(") and one != signature for one in self.functions)

    def lacks(self, of: str, column: str) -> bool:
        """Whether a table certainly has no such column."""
        return of in self.complete and column not in self.complete[of]

    def secure(self, of: str) -> bool:
        """Whether a table may have row security."""
        return of not in self.relations or of in self.secured

    def open(self, of: str) -> bool:
        """Whether the known policies of a table let everybody see and write every row."""
        known = [one for (table_, _policy), one in self.policies.items() if table_ == of]
        return OPEN in known and RESTRICTS not in known

    def unreached(self, kind: str, made: Address) -> list[str]:
        """Roles that the revisions let use others of this kind, but not this new one. Default privileges may."""
        if any(what[0] == "default" for what, _role in self.granted):
            return []
        users = {role for what, role in self.granted if what[0] == kind}
        return sorted(users - {role for what, role in self.granted if what == made})

    def keyless(self, of: str, identity: str = "") -> bool:
        """Whether a known table has nothing that tells its rows apart. identity: the new one, else the present one."""
        how = identity or self.identities.get(of, "d")
        primary = any(one == of for one, _name in self.primaries)
        return self.relations.get(of) == "table" and (how == "n" or (how == "d" and not primary))

    def excludes(self, part: str, parent: str) -> bool:
        """Whether a valid CHECK of a table is about the key of the partitioned table."""
        key = set(self.partitioned.get(parent, ()))
        found = [one for (of, _name), one in self.checks.items() if of == part and one.valid]
        return any(key <= set(columns_of(one.test)) for one in found)


def index_name(of: str, named: Any) -> str:
    """The name of a table's index, which is in the table's schema."""
    schema = of.rpartition(".")[0]
    return f"{schema}.{named}" if schema and named else str(named or "")
