# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which rules the statements break that drop, rename, replace or change an object, or who may use it."""

from __future__ import annotations

from typing import Any, Iterator

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import (
    addresses,
    bodies,
    column_types,
    learning,
    views,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.addresses import address, signature
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.catalog import KEYLESS, UNIQUE, index_name
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.facts import RELATIONS, Address
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.names import PUBLIC, set_paths
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.state import State
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.trees import joined, kind, name

# Names that the application does not use.
_UNUSED_NAMES = frozenset(("OBJECT_TRIGGER", "OBJECT_POLICY", "OBJECT_RULE", "OBJECT_DOMCONSTRAINT"))


def drop(node: Any, state: State) -> Iterator[str]:
    """DROP of anything but a column, a constraint or a partition."""
    target = node.removeType.name
    if target == "OBJECT_INDEX":
        yield from _drop_index(node, state)
        return
    if target == "OBJECT_STATISTIC_EXT":
        state.harmless.add("drop-in-expand")
        return
    dropped = [address(target, one, state.catalog) for one in node.objects]
    if all(one in state.created or one in state.set_aside for one in dropped):
        state.harmless.add("drop-in-expand")
        return
    state.lost.update(dropped)
    if all(_replaced(one, state) for one in dropped):
        state.harmless.add("drop-in-expand")
        yield from (rule for one in dropped for rule in _grants_lost(one, state))
        if target not in ("OBJECT_TRIGGER", "OBJECT_POLICY"):
            yield "replace-in-expand"
    else:
        yield "drop-in-expand"


def _replaced(dropped: Address, state: State) -> bool:
    """Whether the revision makes it again; a function with the same arguments, and with the same result where the
    former one is known."""
    what, named = dropped[0], dropped[-1]
    if dropped not in state.remade or what in ("table", "type", "sequence", "schema"):
        return False
    before, now = state.catalog.functions.get(named), state.functions.get(named)
    return what != "function" or before is None or now is None or before.returns == now.returns


def _grants_lost(dropped: Address, state: State) -> Iterator[str]:
    """A view that is made again has none of the grants that revisions gave it."""
    if dropped[0] != "view":
        return
    again = {role for one in state.regranted if dropped in addresses.granted(one, state.catalog)
             for role in addresses.grantees(one)}  # fmt: skip
    had = {role for what, role in state.catalog.granted if what == dropped}
    lost = sorted(had - again) if not any(what[0] == "default" for what, _role in state.catalog.granted) else []
    if lost:
        state.notes["revoke-in-expand"] = f": DROP takes the grants of {dropped[1]} to {', '.join(lost)}"
        yield "revoke-in-expand"


def _drop_index(node: Any, state: State) -> Iterator[str]:
    for one in node.objects:
        index = state.catalog.indexes.get(joined(one))
        new = ("index", joined(one)) in state.created
        if new and index is not None and state.new(index.table):
            state.harmless |= {"require-concurrent-index-deletion"}
        elif not node.concurrent:
            yield "require-concurrent-index-deletion"
        unique = index.unique if index is not None else state.catalog.constraint("", joined(one)) == UNIQUE
        again = index is not None and state.unique_again(index.table, joined(one))
        if index is not None:
            state.lived_with(index.table, joined(one).rpartition(".")[2])
        if unique and not new and not again:
            yield "drop-key-in-expand"


def rename(node: Any, state: State) -> Iterator[str]:
    """RENAME."""
    target = node.renameType.name
    new = node.relation is not None and (name(node.relation), str(node.subname)) in state.added
    if target in ("OBJECT_TABCONSTRAINT", "OBJECT_INDEX"):
        # ON CONFLICT ON CONSTRAINT names a unique constraint, and renaming its index renames it.
        own = name(node.relation)
        index = state.catalog.indexes.get(own)
        table, old = (index.table if index else "", own.rpartition(".")[2])
        if target == "OBJECT_TABCONSTRAINT":
            table, old = own, str(node.subname)
        new = bool({("index", index_name(own, old)), ("constraint", table, old)} & state.created)
        quiet = new or state.catalog.constraint(table, old) != UNIQUE
    else:
        quiet = (
            target in _UNUSED_NAMES
            or _set_aside(node, state)
            or new
            or (node.object is not None and address(target, node.object, state.catalog) in state.created)
        )
    if quiet:
        state.harmless.add("rename-in-expand")
    else:
        yield "rename-in-expand"


def _set_aside(node: Any, state: State) -> bool:
    """Whether the transaction makes another type of the old name, for which this one gives way. Each column that gets
    the other type is a finding of its own."""
    if node.renameType.name != "OBJECT_TYPE" or state.transaction is None:
        return False
    old = address("OBJECT_TYPE", node.object, state.catalog)
    if old not in state.remade:
        return False
    state.set_aside.add((old[0], index_name(old[1], node.newname)))
    return True


def owner(node: Any, state: State) -> Iterator[str]:
    """OWNER TO of what is no relation; a type or domain needs no privilege."""
    what = address(node.objectType.name, node.object, state.catalog)
    known = state.catalog.functions.get(what[-1]) if what[0] == "function" else None
    # A function runs as its caller, unless it is SECURITY DEFINER.
    quiet = node.objectType.name in ("OBJECT_TYPE", "OBJECT_DOMAIN") or (known is not None and not known.definer)
    if not quiet and what not in state.created:
        yield "owner-in-expand"


def sequence(node: Any, state: State) -> Iterator[str]:
    """ALTER SEQUENCE."""
    if state.new(name(node.sequence)):
        return
    options = {str(one.defname): one.arg for one in node.options or ()}
    if "restart" in options:
        yield "sequence-restart"
    if "as" in options and column_types.of(options["as"]).name in ("int2", "int4"):
        yield "constraint-in-expand"


def replace(node: Any, state: State) -> Iterator[str]:
    """CREATE OR REPLACE of a function or a view."""
    new = ("function", signature(node)) if kind(node) == "CreateFunctionStmt" else ("view", name(node.view))
    if kind(node) == "CreateFunctionStmt" and _overloads(node, state):
        yield "function-overload"
    if node.replace and new not in state.created:
        yield "replace-in-expand"
        yield from _otherwise(node, state)
    else:
        state.harmless.add("replace-in-expand")


def _otherwise(node: Any, state: State) -> Iterator[str]:
    """What the text of a view or of a trigger's function shows to be other than before."""
    why = ""
    if kind(node) == "ViewStmt" and name(node.view) in state.catalog.views:
        why = views.differs(state.catalog.views[name(node.view)], node)
    elif kind(node) == "CreateFunctionStmt":
        now, before = learning.function(node), state.catalog.functions.get(signature(node))
        tables = [table for (table, _name), called in state.catalog.triggers.items() if called == joined(node.funcname)]
        missing = [
            f"{table}.{one}" for table in tables for one in bodies.fields(now) if state.catalog.lacks(table, one)
        ]
        if missing:
            why = f"it names {missing[0]}, which does not exist"
        elif tables and bodies.refuses(now) and before is not None and not bodies.refuses(before):
            why = "it may now refuse rows"
    if why:
        state.notes["other-answers-in-expand"] = f": {why}"
        yield "other-answers-in-expand"


def publication(node: Any, state: State) -> Iterator[str]:
    """CREATE and ALTER PUBLICATION: PostgreSQL refuses UPDATE and DELETE of a table without a key that is published."""
    for table in learning.publishes(node, state.catalog):
        if state.live(table) and state.catalog.keyless(table):
            state.notes["other-answers-in-expand"] = KEYLESS.format(table)
            yield "other-answers-in-expand"


def trigger(node: Any, state: State) -> Iterator[str]:
    """CREATE TRIGGER: one whose function is known to refuse rows refuses those of old code too."""
    yield "create-trigger"
    called = state.catalog.functions.get(state.catalog.only(joined(node.funcname)))
    if called is not None and bodies.refuses(called) and state.live(name(node.relation)):
        state.notes["other-answers-in-expand"] = f": {joined(node.funcname)}() refuses rows, of old code too"
        yield "other-answers-in-expand"


def _overloads(node: Any, state: State) -> bool:
    """Whether a call of old code then fits two functions: the new one has arguments that it need not give. Functions of
    this rollout have no old callers."""
    named = joined(node.funcname)
    old = any(one[0] == "function" and one[1].startswith(f"{named}(") for one in state.created)
    optional = any(one.defexpr is not None or one.mode.name == "FUNC_PARAM_VARIADIC" for one in node.parameters or ())
    return optional and not old and state.catalog.others(named, signature(node))


def function(node: Any, state: State) -> Iterator[str]:
    """ALTER FUNCTION, such as its search_path."""
    own = address("OBJECT_FUNCTION", node.func, state.catalog)
    if own in state.created:
        return
    yield "replace-in-expand"
    known = state.catalog.functions.get(own[1])
    paths = [path for one in node.actions or () if one.defname == "set" for path, _local in set_paths(one.arg)]
    used = bodies.relations(known) if known is not None else frozenset()
    lost = sorted(one for one in used & set(state.catalog.relations) if "." not in one)
    if paths and PUBLIC not in paths[-1] and lost:
        state.notes["other-answers-in-expand"] = f": it no longer finds {', '.join(lost)}"
        yield "other-answers-in-expand"


def grant(node: Any, state: State) -> Iterator[str]:
    """REVOKE; a GRANT is harmless."""
    if node.is_grant:
        return
    target = getattr(node, "objtype", None)
    named = [address(target.name, one, state.catalog) for one in node.objects or ()] if target is not None else []
    new = named and all(one in state.created or (one[0] == "table" and state.new(one[1])) for one in named)
    if new or _keeps(node, state):
        state.harmless.add("revoke-in-expand")
    else:
        yield "revoke-in-expand"


# What old code may have used of a table; TRUNCATE and the like are for owners.
_USED = frozenset(("select", "insert", "update", "delete"))


def _keeps(node: Any, state: State) -> bool:
    """Whether nobody has less than before: the revision grants it again, or PUBLIC never had it."""
    if node.targtype.name != "ACL_TARGET_OBJECT":
        return False
    named, roles = addresses.granted(node, state.catalog), addresses.grantees(node)
    known = all(one[0] in RELATIONS and one[1] in state.catalog.relations for one in named)
    if roles == [PUBLIC] and known and not any((one, PUBLIC) in state.catalog.granted for one in named):
        return True
    again = [one for one in state.regranted if set(named) <= set(addresses.granted(one, state.catalog))
             and set(roles) <= set(addresses.grantees(one)) and one.privileges != ()]  # fmt: skip
    return known and any(one.privileges is None or _lost(node) <= _privileges(one) for one in again)


def _lost(node: Any) -> frozenset[str]:
    return _USED if node.privileges is None else _privileges(node) & _USED


def _privileges(node: Any) -> frozenset[str]:
    """Privileges on whole relations."""
    return frozenset(str(one.priv_name) for one in node.privileges or () if one.priv_name and not one.cols)


def schema(node: Any, state: State) -> Iterator[str]:
    """SET SCHEMA of what is no relation."""
    if node.object is None or address(node.objectType.name, node.object, state.catalog) not in state.created:
        yield "rename-in-expand"
    else:
        state.harmless.add("rename-in-expand")


def domain(node: Any, state: State) -> Iterator[str]:
    """ALTER DOMAIN: C adds a constraint, V validates one, O sets NOT NULL, T changes the default, X drops a
    constraint."""
    domain, what = joined(node.typeName), node.subtype
    state.harmless |= {"ban-alter-domain-with-add-constraint", "drop-in-expand" if what == "X" else ""}
    used = any(of.name == domain and state.live(table) for (table, _column), of in state.catalog.columns.items())
    if ("type", domain) in state.created and not used:
        return
    if what in ("O", "V") or (what == "C" and not node.def_.skip_validation):
        state.harmless.discard("ban-alter-domain-with-add-constraint")
        yield "ban-alter-domain-with-add-constraint"
    if what in ("C", "O"):
        yield "constraint-in-expand"
    known = state.catalog.domains.get(domain)
    if what == "T" and node.def_ is None:
        if known is not None and not known.default:
            state.harmless.add("drop-default-in-expand")
        else:
            yield "drop-default-in-expand"


def enum(node: Any, state: State) -> Iterator[str]:
    """ALTER TYPE of an enum type."""
    if ("type", joined(node.typeName)) in state.created:
        state.harmless.add("rename-in-expand")
    elif node.oldVal is not None:
        yield "rename-in-expand"
