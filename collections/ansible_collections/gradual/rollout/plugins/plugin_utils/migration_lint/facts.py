# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tables of facts about a schema: one way to forget what is gone, to follow a rename, and to believe only what holds
whether or not a statement ran.

An address names a part of a schema: (kind, name), or (kind, table, name) for a column, constraint, trigger or policy.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Callable, Iterator, Mapping

Address = tuple[str, ...]
Column = tuple[str, str]
Moved = Callable[[Address], "Address | None"]
RELATIONS = ("table", "view", "sequence")
# Kinds of addresses with a table before their own name.
_PARTS = ("column", "constraint", "trigger", "policy")


@dataclass(frozen=True)
class Index:
    """table and columns; unique: whether it alone makes a constraint; partial: with a condition or an expression.
    certain: it is there, whatever conditions of the revisions said. deferrable: of a constraint that may be."""

    table: str
    columns: tuple[str, ...]
    unique: bool
    partial: bool = False
    certain: bool = True
    deferrable: bool = False


@dataclass(frozen=True)
class Shape:
    """How a table of facts changes.

    turned: (key, value, moved) → the row after a change of addresses, None if it is gone.
    joined: (value or None, value or None) → what holds whether or not a statement ran, None for nothing.
    """

    turned: Callable[[Any, Any, Moved], "tuple[Any, Any] | None"]
    joined: Callable[[Any, Any], Any]


def gone(address: Address) -> Moved:
    """What is left after a DROP."""
    return lambda one: None if _within(one, address) else one


def renamed(address: Address, name: str) -> Moved:
    """Addresses after `address` has that name; a relation's or schema's parts move along."""
    return lambda one: _with_name(one, address, name) if _within(one, address) else one


def _within(one: Address, address: Address) -> bool:
    if address[0] == "schema":
        return one == address or (len(one) > 1 and one[1].startswith(f"{address[1]}."))
    if address[0] in RELATIONS:
        return one[0] in (*RELATIONS, *_PARTS) and one[1] == address[1]
    return one == address


def _with_name(one: Address, address: Address, name: str) -> Address:
    if address[0] == "schema" and one != address:
        return (one[0], name + one[1][len(address[1]) :], *one[2:])
    if address[0] in RELATIONS or len(address) == 2:
        return (one[0], name, *one[2:])
    return (*one[:-1], name)


def _keyed(kind: str) -> Callable[[Any, Any, Moved], tuple[Any, Any] | None]:
    """Rows whose key is an address without its kind; a name alone is no tuple."""

    def turned(key: Any, value: Any, moved: Moved) -> tuple[Any, Any] | None:
        after = moved((kind, key) if isinstance(key, str) else (kind, *key))
        if after is None:
            return None
        return (after[1] if isinstance(key, str) else after[1:]), value

    return turned


def _address(key: Address, value: Any, moved: Moved) -> tuple[Any, Any] | None:
    after = moved(key)
    return None if after is None else (after, value)


def _reasons(key: Column, reasons: frozenset[str], moved: Moved) -> tuple[Any, Any] | None:
    """A column, and the constraints or indexes by which something holds of it; "" is its own."""
    after = moved(("column", *key))
    left = [moved(("constraint", key[0], one)) if one else ("", "", "") for one in reasons]
    kept = frozenset(one[2] for one in left if one is not None)
    return (after[1:], kept) if after is not None and kept else None


def _index(name: str, index: Index, moved: Moved) -> tuple[Any, Any] | None:
    after, table = moved(("index", name)), moved(("table", index.table))
    columns = [moved(("column", index.table, one)) for one in index.columns]
    if after is None or table is None or None in columns:
        return None
    named = tuple(one[2] for one in columns if one is not None)
    return after[1], replace(index, table=table[1], columns=named)


def _users(user: Address, used: frozenset[Column], moved: Moved) -> tuple[Any, Any] | None:
    """What uses columns. A column that is gone took its users along, or PostgreSQL refused it."""
    after = moved(user)
    columns = [moved(("column", *one)) for one in used]
    return None if after is None else (after, frozenset(one[1:] for one in columns if one is not None))


def same(one: Any, other: Any) -> Any:
    return one if one == other else None


def either(one: Any, other: Any) -> Any:
    return one if other is None else other


def _both(one: Any, other: Any) -> Any:
    return (one & other or None) if one and other else None


def _any(one: Any, other: Any) -> Any:
    return (one or frozenset()) | (other or frozenset())


def _perhaps(one: Index | None, other: Index | None) -> Index | None:
    if one == other:
        return one
    known = one or other
    if known is None or (one and other):
        return None
    return replace(known, certain=False)


def _columns(name: str, columns: frozenset[str], moved: Moved) -> tuple[Any, Any] | None:
    """A table, and the names of columns of it."""
    after = moved(("table", name))
    left = [moved(("column", name, one)) for one in columns]
    return None if after is None else (after[1], frozenset(one[2] for one in left if one is not None))


def _grants(key: tuple[Address, str], value: Any, moved: Moved) -> tuple[Any, Any] | None:
    """What was granted, and to whom."""
    after = moved(key[0]) if key[0][1:] != ("",) else key[0]
    return None if after is None else ((after, key[1]), value)


def _related(name: str, other: str, moved: Moved) -> tuple[Any, Any] | None:
    """Two tables that belong together."""
    one, two = moved(("table", name)), moved(("table", other))
    return (one[1], two[1]) if one is not None and two is not None else None


Kept = Mapping[str, Shape]


def kept(turned: Callable[[Any, Any, Moved], "tuple[Any, Any] | None"], joined: Callable[[Any, Any], Any]) -> Kept:
    """The metadata of a dataclass's field that is a table of facts: a dict, or a set of keys."""
    return {"shape": Shape(turned, joined)}


def permits(kind: str) -> Kept:
    """Facts that let a statement pass: believed only if they hold in any case."""
    return kept(_address if kind == "object" else _keyed(kind), same)


def warns(kind: str) -> Kept:
    """Facts that stop a statement: believed if they may hold."""
    return kept(_address if kind == "object" else _keyed(kind), either)


PROOFS = kept(_reasons, _both)
WATCHERS = kept(_reasons, _any)
INDEXES = kept(_index, _perhaps)
USERS = kept(_users, _any)
COLUMNS = kept(_columns, same)
RELATED = kept(_related, either)
GRANTS = kept(_grants, either)


class Facts:
    """Tables of facts; they change in place, since several revisions may share one."""

    def tables(self) -> Iterator[tuple[Shape, Any]]:
        """(shape, table) of each."""
        for one in fields(self):  # type: ignore[arg-type]
            if "shape" in one.metadata:
                yield one.metadata["shape"], getattr(self, one.name)

    def turn(self, moved: Moved) -> None:
        """Forget or rename in every table."""
        for shape, facts in self.tables():
            rows = [shape.turned(key, value, moved) for key, value in _rows(facts)]
            _replace(facts, [one for one in rows if one is not None])

    def copied(self) -> list[Any]:
        """The tables as they are now, for `restore` and `join`."""
        return [facts.copy() for _shape, facts in self.tables()]

    def restore(self, before: list[Any]) -> None:
        """Undo all since `copied`."""
        for (_shape, facts), former in zip(self.tables(), before):
            _replace(facts, list(_rows(former)))

    def join(self, before: list[Any]) -> None:
        """Leave what holds both if the statements since `copied` ran and if they did not."""
        for (shape, facts), former in zip(self.tables(), before):
            now, then = dict(_rows(facts)), dict(_rows(former))
            if now != then:
                joined = {key: shape.joined(then.get(key), now.get(key)) for key in {**then, **now}}
                _replace(facts, [(key, value) for key, value in joined.items() if value is not None])


def _rows(facts: Any) -> Iterator[tuple[Any, Any]]:
    return iter(facts.items()) if isinstance(facts, dict) else ((one, True) for one in facts)


def _replace(facts: Any, rows: list[tuple[Any, Any]]) -> None:
    facts.clear()
    facts.update(rows if isinstance(facts, dict) else (key for key, _value in rows))
