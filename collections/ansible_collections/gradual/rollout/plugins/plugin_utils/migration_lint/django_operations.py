# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Operations of Django's migrations: what each does to the models, and which statements it runs."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any, Callable, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_names import Module
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_values import Unreadable
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import django_fields
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.django_expressions import (
    columns_in,
    literal,
    not_null,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.django_fields import Field
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.django_schema import (
    Schema,
    listed,
    quoted,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.django_state import Model, Sets, State

# Options of a model that are nothing in the database.
_SILENT = ("AlterModelOptions", "AlterModelManagers", "AlterConstraint")
_EXTENSIONS = {
    "BloomExtension": "bloom", "BtreeGinExtension": "btree_gin", "BtreeGistExtension": "btree_gist",
    "CITextExtension": "citext", "CryptoExtension": "pgcrypto", "HStoreExtension": "hstore",
    "TrigramExtension": "pg_trgm", "UnaccentExtension": "unaccent",
}  # fmt: skip


class Operation:
    """One call in a list of operations. Its methods change `state` and fill `schema`; they raise Unreadable."""

    def __init__(self, call: ast.Call, module: Module, app: str, state: State) -> None:
        self.call, self.module, self.app, self.state = call, module, app, state
        self.schema = Schema(state)

    @property
    def name(self) -> str:
        called = self.call.func
        return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else "?"

    def run(self) -> bool:
        """False for an operation that is not known."""
        handler = _HANDLERS.get(self.name)
        if handler is not None:
            handler(self)
        elif self.name in _EXTENSIONS or self.name == "CreateExtension":
            self._create_extension()
        return handler is not None or self.name in _EXTENSIONS or self.name in (*_SILENT, "CreateExtension")

    def node(self, name: str, place: int) -> ast.expr | None:
        if any(one.arg is None for one in self.call.keywords) or any(
            isinstance(one, ast.Starred) for one in self.call.args
        ):
            raise Unreadable("its arguments are not written out")
        named = next((one.value for one in self.call.keywords if one.arg == name), None)
        return named if named is not None else self.call.args[place] if len(self.call.args) > place else None

    def text(self, name: str, place: int) -> str:
        node = self.node(name, place)
        if node is None:
            raise Unreadable(f"it has no {name}")
        return str(self.module.value(node))

    def model(self, name: str = "model_name") -> Model:
        return self.state.model(self.app, self.text(name, 0))

    def field(self, name: str, node: ast.expr | None, model: str) -> Field:
        if not isinstance(node, ast.Call):
            raise Unreadable(f"the field {name} is not written out")
        return django_fields.read(name, node, self.module, model)

    # Models

    def _create_model(self) -> None:
        model = self._new_model()
        self.state.put(model)
        if model.real:
            self.schema.create(model)

    def _new_model(self) -> Model:
        name = self.text("name", 0)
        given = self.node("fields", 1)
        options = self._options(self.node("options", 2))
        if not isinstance(given, (ast.List, ast.Tuple)):
            raise Unreadable("the fields are not written out")
        key = f"{self.app}.{name}"
        found = {}
        for one in given.elts:
            if not isinstance(one, (ast.Tuple, ast.List)) or len(one.elts) != 2:
                raise Unreadable("the fields are not written out")
            field = str(self.module.value(one.elts[0]))
            found[field] = self.field(field, one.elts[1], key)
        together: dict[str, Sets] = {
            option: tuple(tuple(names) for names in _sets(self.module.value(options[option])))
            for option in ("unique_together", "index_together")
            if option in options
        }
        table = str(self.module.value(options["db_table"])) if "db_table" in options else f"{self.app}_{name.lower()}"
        return Model(self.app, name, table.strip('"'), found, together, real=self._real(options, key))

    def _options(self, node: ast.expr | None) -> dict[str, ast.expr]:
        if node is None:
            return {}
        if not isinstance(node, ast.Dict):
            raise Unreadable("the options are not written out")
        return {str(self.module.value(key)): one for key, one in zip(node.keys, node.values) if key is not None}

    def _real(self, options: Mapping[str, ast.expr], key: str) -> bool:
        """Whether Django keeps a table: not for proxies, unmanaged models, and those that a setting replaces."""
        if "swappable" in options:
            try:
                setting = str(self.module.value(options["swappable"]))
                if str(self.module.library.setting(setting)).lower() != key.lower():
                    return False
            except (Unreadable, LookupError):
                # The project does not replace it.
                pass
        flags = {name: self.module.value(options[name]) for name in ("proxy", "managed") if name in options}
        return not flags.get("proxy", False) and bool(flags.get("managed", True))

    def _delete_model(self) -> None:
        model = self.model("name")
        if model.real:
            self.schema.drop(model)
        self.state.models.pop(model.key, None)

    def _rename_model(self) -> None:
        model, new = self.model("old_name"), self.text("new_name", 1)
        usual = model.table == f"{model.app}_{model.name.lower()}"
        table = f"{self.app}_{new.lower()}" if usual else model.table
        if model.real:
            self.schema.rename(model, table)
        before = self._between()
        changed = replace(model, name=new, table=table)
        self.state.rename(model, changed)
        self._retarget(model.key, changed.key)
        for old, now in zip(before, self._between()):
            self.schema.rename_through(old, now)

    def _between(self) -> list[Model]:
        """The tables between models, in an order that a new name does not change."""
        models = [model for model in self.state.models.values() if model.real]
        found = [self.state.through(model, one) for model in models for one in model.fields.values()]
        return [one for one in found if one is not None]

    def _retarget(self, old: str, new: str) -> None:
        for model in list(self.state.models.values()):
            for one in model.fields.values():
                if one.target and one.target[0] == old:
                    moved = replace(one, target=(new, one.target[1]), written={**one.written, "to": new})
                    self.state.put(self.state.models[model.key].with_field(moved))

    def _rename_between(self, old: Model, new: Model) -> None:
        for name, one in old.fields.items():
            before, after = self.state.through(old, one), self.state.through(new, new.fields[name])
            if before and after:
                self.schema.rename_through(before, after)

    def _alter_table(self) -> None:
        model, node = self.model("name"), self.node("table", 1)
        given = None if node is None else self.module.value(node)
        table = str(given).strip('"') if given else f"{self.app}_{model.name.lower()}"
        changed = replace(model, table=table)
        if model.real:
            self.schema.rename(model, table)
            self._rename_between(model, changed)
        self.state.put(changed)

    def _comment_table(self) -> None:
        self.schema.run(f"COMMENT ON TABLE {quoted(self.model('name').table)} IS ''")

    def _together(self) -> None:
        option = "unique_together" if self.name == "AlterUniqueTogether" else "index_together"
        model, node = self.model("name"), self.node(option, 1)
        self.schema.together(model, option, _sets(None if node is None else self.module.value(node)))

    def _order(self) -> None:
        model, node = self.model("name"), self.node("order_with_respect_to", 1)
        wanted = None if node is None else self.module.value(node)
        there = model.fields.get("_order")
        if wanted and there is None:
            added = Field("_order", "OrderWrt", "integer", "_order", default="0")
            self.schema.add(model, added)
            self.state.put(model.with_field(added))
        elif there is not None and not wanted:
            self.schema.remove(model, there)
            self.state.put(model.without("_order"))

    # Fields

    def _add_field(self) -> None:
        model, name = self.model(), self.text("name", 1)
        new = self.field(name, self.node("field", 2), model.key)
        self.state.put(model.with_field(new))
        if model.real:
            self.schema.add(model.with_field(new), new)

    def _remove_field(self) -> None:
        model, name = self.model(), self.text("name", 1)
        if model.real:
            self.schema.remove(model, model.fields.get(name) or _unread(name))
        self.state.put(model.without(name))

    def _alter_field(self) -> None:
        model, name = self.model(), self.text("name", 1)
        new = self.field(name, self.node("field", 2), model.key)
        old = model.fields.get(name)
        if old is None:
            self.schema.change_unknown(model, new)
        elif model.real:
            self.schema.change(model, old, new)
        self.state.put(model.with_field(new))

    def _rename_field(self) -> None:
        model, old, new = self.model(), self.text("old_name", 1), self.text("new_name", 2)
        one = model.fields.get(old) or _unread(old)
        follows = one.column in (old, f"{old}_id")
        moved = replace(one, name=new, column=new + one.column[len(old) :] if follows else one.column)
        fields = {new if key == old else key: moved if key == old else each for key, each in model.fields.items()}
        together = {
            option: tuple(tuple(new if each == old else each for each in names) for names in sets)
            for option, sets in model.together.items()
        }
        changed = replace(model, fields=fields, together=together)
        self.state.put(changed)
        if model.real and one.concrete:
            self.schema.rename_column(changed.with_field(one), one, moved)
        elif model.real and not one.concrete:
            self._rename_between(replace(model, fields={new: one}), replace(changed, fields={new: moved}))

    # Indexes and constraints

    def _add_index(self) -> None:
        model, index = self.model(), self.node("index", 1)
        if not isinstance(index, ast.Call):
            raise Unreadable("the index is not written out")
        if model.real:
            concurrently = " CONCURRENTLY" if self.name == "AddIndexConcurrently" else ""
            self.schema.run(self._index(model, index, f"INDEX{concurrently}"))

    def _index(self, model: Model, index: ast.Call, kind: str) -> str:
        """CREATE INDEX for an Index or a UniqueConstraint of Django."""
        given = {str(one.arg): one.value for one in index.keywords}
        fields = [str(one) for one in self.module.value(given["fields"])] if "fields" in given else []
        columns = [f"{quoted(model.column(one.lstrip('-')))}{' DESC' if one[0] == '-' else ''}" for one in fields]
        columns += [self._expression(model, one) for one in index.args]
        include = [str(one) for one in self.module.value(given["include"])] if "include" in given else []
        using = _method((self.module.dotted(index.func) or "").rpartition(".")[2])
        return " ".join(
            part
            for part in (
                f"CREATE {kind}",
                quoted(str(self.module.value(given["name"]))) if "name" in given else "",
                f"ON {quoted(model.table)}{using} ({', '.join(columns)})",
                f"INCLUDE ({listed([model.column(one) for one in include])})" if include else "",
                f"WHERE {self._condition(model, given['condition'])}" if "condition" in given else "",
            )
            if part
        )

    def _expression(self, model: Model, node: ast.expr) -> str:
        return f"({self._named(model, node)})"

    def _named(self, model: Model, node: ast.expr) -> str:
        """An expression that names the same columns."""
        plain = [self.module.value(node)] if isinstance(node, ast.Constant) else []
        found = [quoted(model.column(str(one).lstrip("-"))) for one in plain or columns_in(node, self.module)]
        return f"concat({', '.join(dict.fromkeys(found))})" if found else "true"

    def _condition(self, model: Model, node: ast.expr) -> str:
        exact = not_null(node)
        if exact is not None:
            return f"{quoted(model.column(exact))} IS NOT NULL"
        if not list(columns_in(node, self.module)):
            return "true"
        # Its own text, so that two conditions on the same columns are not taken for one.
        return f"{self._named(model, node)} <> {literal(ast.unparse(node))}"

    def _remove_index(self) -> None:
        name = self.text("name", 1)
        concurrently = " CONCURRENTLY" if self.name == "RemoveIndexConcurrently" else ""
        self.schema.run(f"DROP INDEX{concurrently} IF EXISTS {quoted(name)}")

    def _rename_index(self) -> None:
        new = self.text("new_name", 1)
        old = self.node("old_name", 2)
        before = str(self.module.value(old)) if old is not None and not isinstance(old, ast.Tuple) else f"{new}_old"
        self.schema.run(f"ALTER INDEX {quoted(before)} RENAME TO {quoted(new)}")

    def _add_constraint(self) -> None:
        model, constraint = self.model(), self.node("constraint", 1)
        if not isinstance(constraint, ast.Call):
            raise Unreadable("the constraint is not written out")
        kind = (self.module.dotted(constraint.func) or "").rpartition(".")[2]
        given = {str(one.arg): one.value for one in constraint.keywords}
        name = str(self.module.value(given["name"])) if "name" in given else ""
        sql = self._constraint(model, kind, name, given, constraint)
        self.state.put(replace(model, constraints={**model.constraints, name: sql.split()[1]}))
        if model.real:
            self.schema.run(sql)

    def _constraint(self, model: Model, kind: str, name: str, given: Mapping[str, ast.expr], call: ast.Call) -> str:
        head = f"ALTER TABLE {quoted(model.table)} ADD CONSTRAINT {quoted(name)}"
        if kind == "UniqueConstraint":
            if call.args or {"condition", "include", "opclasses", "nulls_distinct"} & set(given):
                return self._index(model, call, "UNIQUE INDEX")
            columns = listed([model.column(str(one)) for one in self.module.value(given["fields"])])
            deferred = " DEFERRABLE INITIALLY DEFERRED" if "deferrable" in given else ""
            return f"{head} UNIQUE ({columns}){deferred}"
        if kind == "CheckConstraint":
            late = " NOT VALID" if self.name == "AddConstraintNotValid" else ""
            test = given["condition" if "condition" in given else "check"]
            return f"{head} CHECK ({self._condition(model, test)}){late}"
        if kind == "ExclusionConstraint":
            return f"{head} EXCLUDE USING gist ({self._named(model, given['expressions'])} WITH =)"
        raise Unreadable(f"a constraint of the class {kind}")

    def _remove_constraint(self) -> None:
        model, name = self.model(), self.text("name", 1)
        if model.constraints.get(name) in ("INDEX", "UNIQUE"):
            self.schema.run(f"DROP INDEX IF EXISTS {quoted(name)}")
        else:
            self.schema.alter(model, f"DROP CONSTRAINT {quoted(name)}")

    def _validate(self) -> None:
        self.schema.alter(self.model(), f"VALIDATE CONSTRAINT {quoted(self.text('name', 1))}")

    # What is not a model

    def _create_extension(self) -> None:
        name = _EXTENSIONS.get(self.name) or self.text("name", 0)
        self.schema.run(f"CREATE EXTENSION IF NOT EXISTS {quoted(name)}")

    def _create_collation(self) -> None:
        self.schema.run(f"CREATE COLLATION {quoted(self.text('name', 0))} (locale = {literal(self.text('locale', 1))})")

    def _remove_collation(self) -> None:
        self.schema.run(f"DROP COLLATION {quoted(self.text('name', 0))}")


def _unread(name: str) -> Field:
    """A field that no earlier migration adds that was read."""
    return Field(name, "", None, name)


def _sets(given: Any) -> list[list[str]]:
    """unique_together as Django takes it: a list of lists, or one list of names."""
    found = list(given or [])
    return [[str(one) for one in names] for names in ([found] if found and isinstance(found[0], str) else found)]


def _method(index: str) -> str:
    """USING … for an index class of django.contrib.postgres."""
    kind = index.lower().replace("index", "")
    return f" USING {kind}" if kind in ("gin", "gist", "spgist", "brin", "hash", "btree") else ""


_HANDLERS: Mapping[str, Callable[[Operation], None]] = {
    "CreateModel": Operation._create_model, "DeleteModel": Operation._delete_model,
    "RenameModel": Operation._rename_model, "AlterModelTable": Operation._alter_table,
    "AlterModelTableComment": Operation._comment_table, "AlterUniqueTogether": Operation._together,
    "AlterIndexTogether": Operation._together, "AlterOrderWithRespectTo": Operation._order,
    "AddField": Operation._add_field, "RemoveField": Operation._remove_field, "AlterField": Operation._alter_field,
    "RenameField": Operation._rename_field, "AddIndex": Operation._add_index,
    "AddIndexConcurrently": Operation._add_index, "RemoveIndex": Operation._remove_index,
    "RemoveIndexConcurrently": Operation._remove_index, "RenameIndex": Operation._rename_index,
    "AddConstraint": Operation._add_constraint, "AddConstraintNotValid": Operation._add_constraint,
    "RemoveConstraint": Operation._remove_constraint, "ValidateConstraint": Operation._validate,
    "CreateCollation": Operation._create_collation, "RemoveCollation": Operation._remove_collation,
}  # fmt: skip
