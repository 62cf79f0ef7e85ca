# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Keys and foreign keys as facts, and whether a new one accepts all that a former one accepted: old code that lived
with the former one then notices nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Sequence

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import looser
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.facts import Column, Moved
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import columns_of, kind, name

# ON DELETE and ON UPDATE, as the parser has them: these refuse the statement while rows refer to the old value.
_REFUSING = ("a", "r")
NO_ACTION = "a"


@dataclass(frozen=True)
class ForeignKey:
    """columns: (own, referenced) pairs; "" for a referenced one that is not known. actions: ON DELETE and ON UPDATE.
    deferral: 0 for NOT DEFERRABLE, 1 for DEFERRABLE, 2 for INITIALLY DEFERRED. full: MATCH FULL."""

    columns: frozenset[tuple[str, str]]
    target: str
    actions: tuple[str, str]
    deferral: int
    full: bool

    def accepts(self, former: ForeignKey) -> bool:
        """Whether each statement that the former one let pass still passes, with the same effect."""
        return (
            (self.columns, self.target) == (former.columns, former.target)
            and self.deferral >= former.deferral
            and self.full <= former.full
            and all(_same_effect(*pair) for pair in zip(self.actions, former.actions))
        )


def _same_effect(now: str, before: str) -> bool:
    """Whether an action does the same, or what it does was refused before. RESTRICT refuses sooner than NO ACTION."""
    return now == before or (before in _REFUSING and now != "r")


@dataclass(frozen=True)
class Key:
    """The columns of a unique constraint, of a primary key or of a unique index without a condition. nulls_equal: NULLS
    NOT DISTINCT."""

    columns: frozenset[str]
    deferrable: bool = False
    nulls_equal: bool = False

    def accepts(self, former: Key) -> bool:
        """More columns are less unique; a key that cannot be deferred refuses sooner."""
        return (
            former.columns <= self.columns
            and self.deferrable >= former.deferrable
            and self.nulls_equal <= former.nulls_equal
        )


def key_of(made: Any) -> Key | None:
    """What a constraint or an index of the parser makes unique; None if it does not, or only for some rows."""
    if kind(made) == "IndexStmt":
        columns = [str(one.name) for one in made.indexParams if one.name]
        if not made.unique or made.whereClause is not None or len(columns) < len(made.indexParams):
            return None
        return Key(frozenset(columns), nulls_equal=bool(made.nulls_not_distinct))
    if made.contype.name not in ("CONSTR_UNIQUE", "CONSTR_PRIMARY"):
        return None
    columns = [str(one.sval) for one in made.keys or ()]
    return Key(frozenset(columns), bool(made.deferrable), bool(made.nulls_not_distinct))


def foreign_key(constraint: Any, primary: Sequence[str], of_column: str = "") -> ForeignKey:
    """A foreign key of the parser. primary: the primary key of its target, which it references if it names no columns;
    of_column: the column, if it is written there."""
    own = [str(one.sval) for one in constraint.fk_attrs or ()] or [of_column]
    named = [str(one.sval) for one in constraint.pk_attrs or ()] or list(primary)
    return ForeignKey(
        frozenset(zip(own, named if len(named) == len(own) else [""] * len(own))),
        name(constraint.pktable),
        (str(constraint.fk_del_action or NO_ACTION), str(constraint.fk_upd_action or NO_ACTION)),
        bool(constraint.deferrable) + bool(constraint.initdeferred),
        constraint.fk_matchtype == "f",
    )


def moved_foreign_key(table: str, key: ForeignKey, moved: Moved) -> ForeignKey | None:
    """A foreign key under the names that its columns and tables have now; None if one is gone."""
    target = moved(("table", key.target))
    pairs = [
        (moved(("column", table, own)), moved(("column", key.target, other)) if other else ("", "", ""))
        for own, other in key.columns
    ]
    if target is None or any(one is None for pair in pairs for one in pair):
        return None
    columns = frozenset((own[2], other[2]) for own, other in pairs if own is not None and other is not None)
    return replace(key, columns=columns, target=target[1])


def moved_former(key: Column, former: Any, moved: Moved) -> tuple[Any, Any] | None:
    """A constraint that was dropped, under the names of today; it is forgotten with its table or one of its columns."""
    table = moved(("table", key[0]))
    if table is None:
        return None
    if isinstance(former, ForeignKey):
        now = moved_foreign_key(key[0], former, moved)
        return None if now is None else ((table[1], key[1]), now)
    if isinstance(former, Key):
        columns = [moved(("column", key[0], one)) for one in former.columns]
        left = frozenset(one[2] for one in columns if one is not None)
        return ((table[1], key[1]), replace(former, columns=left)) if None not in columns else None
    same = all(moved(("column", key[0], one)) == ("column", table[1], one) for one in columns_of(former))
    return ((table[1], key[1]), former) if same else None


def accepts(new: Any, former: Any) -> bool:
    """Whether a constraint accepts whatever a former one of the same table accepted. Both: ForeignKey, Key, or the
    expression of a CHECK."""
    if isinstance(new, (ForeignKey, Key)) or isinstance(former, (ForeignKey, Key)):
        return type(new) is type(former) and bool(new.accepts(former))
    return bool(new == former) or looser.follows(new, former)
