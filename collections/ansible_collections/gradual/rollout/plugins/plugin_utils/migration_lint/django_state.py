# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The models of a project after the migrations that were read, and the tables that Django keeps them in."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Iterator, Mapping

from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.django_fields import TYPES, Field

Sets = tuple[tuple[str, ...], ...]
_LONGEST = 63


@dataclass(frozen=True)
class Model:
    """together: unique_together and index_together as lists of fields. constraints, by name: the kind of object that
    one is. real: whether Django keeps a table for it."""

    app: str
    name: str
    table: str
    fields: Mapping[str, Field]
    together: Mapping[str, Sets] = field(default_factory=dict)
    constraints: Mapping[str, str] = field(default_factory=dict)
    real: bool = True

    @property
    def key(self) -> str:
        return f"{self.app}.{self.name}".lower()

    def with_field(self, new: Field) -> Model:
        return replace(self, fields={**self.fields, new.name: new})

    def without(self, name: str) -> Model:
        return replace(self, fields={key: one for key, one in self.fields.items() if key != name})

    def primary(self) -> Field | None:
        return next((one for one in self.fields.values() if one.primary), None)

    def column(self, name: str) -> str:
        """The column of a field; of one that is not known (a parent's, for example) its name."""
        found = self.fields.get(name) or next((one for one in self.fields.values() if one.column == name), None)
        if name == "pk":
            found = self.primary()
        return found.column if found else name


class State:
    """{app.model: Model}. A copy is independent, since models are never changed in place."""

    def __init__(self, models: Mapping[str, Model] | None = None) -> None:
        self.models: dict[str, Model] = dict(models or {})

    def copy(self) -> State:
        return State(self.models)

    def model(self, app: str, name: Any) -> Model:
        """A model; one that no migration before made has no fields, and the table that Django would give it."""
        found = self.models.get(f"{app}.{name}".lower())
        return found or Model(app, str(name), f"{app}_{name}".lower(), {})

    def put(self, model: Model) -> None:
        self.models[model.key] = model

    def rename(self, old: Model, new: Model) -> None:
        """Puts the one in the place of the other, so that the order stays."""
        place = {key: (new if key == old.key else one) for key, one in self.models.items()}
        self.models = {one.key: one for one in place.values()} if old.key in place else {**place, new.key: new}

    def type_of(self, one: Field) -> str | None:
        """A field's type as SQL; None when it is not known."""
        if one.target is None or one.type != "":
            return one.type
        model = self.models.get(one.target[0])
        there = (model.fields.get(one.target[1]) if one.target[1] else model.primary()) if model else None
        return self.type_of(there) if there and there is not one else None

    def referenced(self, one: Field) -> tuple[str, str]:
        """(table, column) that a relation names; by Django's own names when the model was not read."""
        key, wanted = one.target or ("", "")
        model = self.models.get(key)
        if model is None:
            return key.replace(".", "_"), wanted or "id"
        there = model.fields.get(wanted) if wanted else model.primary()
        return model.table, there.column if there else wanted or "id"

    def referencing(self, key: str, name: str) -> Iterator[tuple[Model, Field]]:
        """The relations to a field of a model; one that names no field is to the primary key, as far as it is known."""
        primary = self.models[key].primary() if key in self.models else None
        wanted = ("", name) if primary is None or primary.name == name else (name,)
        for model in list(self.models.values()):
            for one in model.fields.values():
                if one.target and one.target[0] == key and one.concrete and one.target[1] in wanted:
                    yield model, one

    def through(self, model: Model, one: Field) -> Model | None:
        """The table that Django makes for a ManyToManyField; None when the relation has a model of its own."""
        if one.kind != "ManyToManyField" or one.through or one.target is None:
            return None
        target = self.models.get(one.target[0])
        ends = (model.name.lower(), target.name.lower() if target else one.target[0].partition(".")[2])
        if ends[0] == ends[1]:
            ends = (f"from_{ends[0]}", f"to_{ends[1]}")
        pairs = {
            end: Field(end, "ForeignKey", "", f"{end}_id", indexed=True, target=(key, ""), constrained=True)
            for end, key in zip(ends, (model.key, one.target[0]))
        }
        key = Field("id", "BigAutoField", TYPES["BigAutoField"], "id", primary=True, unique=True)
        table = (one.table or f"{model.table}_{one.column}")[:_LONGEST]
        return Model(model.app, f"{model.name}_{one.name}", table, {"id": key, **pairs}, {"unique_together": (ends,)})
