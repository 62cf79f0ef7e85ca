# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Fields of Django as columns of PostgreSQL, read from the text of a migration.

Source: https://docs.djangoproject.com/en/stable/ref/models/fields/, and the schema editor of Django for PostgreSQL,
which the tests hold this against.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_names import Module
from ansible_collections.gradual.rollout.plugins.module_utils.migration.python_values import Unreadable, Unset
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.django_classes import Kind, kind_of
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.django_expressions import literal, sql_of

# Django's class → its type; with max_length and so on to be filled in.
TYPES: Mapping[str, str] = {
    "AutoField": "integer", "BigAutoField": "bigint", "SmallAutoField": "smallint", "BinaryField": "bytea",
    "BooleanField": "boolean", "NullBooleanField": "boolean", "CharField": "varchar", "DateField": "date",
    "DateTimeField": "timestamp with time zone", "DecimalField": "numeric", "DurationField": "interval",
    "FileField": "varchar", "ImageField": "varchar", "FilePathField": "varchar", "EmailField": "varchar",
    "URLField": "varchar", "SlugField": "varchar", "CommaSeparatedIntegerField": "varchar",
    "FloatField": "double precision", "IntegerField": "integer", "BigIntegerField": "bigint",
    "SmallIntegerField": "smallint", "PositiveIntegerField": "integer", "PositiveBigIntegerField": "bigint",
    "PositiveSmallIntegerField": "smallint", "IPAddressField": "inet", "GenericIPAddressField": "inet",
    "JSONField": "jsonb", "TextField": "text", "TimeField": "time", "UUIDField": "uuid", "HStoreField": "hstore",
    "IntegerRangeField": "int4range", "BigIntegerRangeField": "int8range", "DecimalRangeField": "numrange",
    "DateTimeRangeField": "tstzrange", "DateRangeField": "daterange", "SearchVectorField": "tsvector",
    "CICharField": "citext", "CIEmailField": "citext", "CITextField": "citext", "GeometryField": "geometry",
    "PointField": "geometry", "LineStringField": "geometry", "PolygonField": "geometry",
    "MultiPointField": "geometry", "MultiLineStringField": "geometry", "MultiPolygonField": "geometry",
    "GeometryCollectionField": "geometry",
}  # fmt: skip
_LENGTHS = {"FileField": 100, "ImageField": 100, "FilePathField": 100, "EmailField": 254, "URLField": 200,
            "SlugField": 50}  # fmt: skip
# Options that Django compares, and then makes nothing of.
_NOT_IN_DATABASE = frozenset((
    "blank", "choices", "db_column", "editable", "error_messages", "help_text", "limit_choices_to", "on_delete",
    "related_name", "related_query_name", "validators", "verbose_name",
))  # fmt: skip
RELATIONS = frozenset(("ForeignKey", "OneToOneField"))
SPATIAL = frozenset(name for name, kind in TYPES.items() if kind == "geometry")
_IDENTITY = frozenset(("AutoField", "BigAutoField", "SmallAutoField"))
_POSITIVE = frozenset(("PositiveIntegerField", "PositiveBigIntegerField", "PositiveSmallIntegerField"))
_WITHOUT_COLUMN = frozenset(("ManyToManyField", "GenericRelation", "GenericForeignKey", "RelatedField",
                             "CompositePrimaryKey"))  # fmt: skip
_WITH_EMPTY_STRING = frozenset(("CharField", "TextField", "EmailField", "SlugField", "URLField", "FileField",
                                "ImageField", "FilePathField"))  # fmt: skip


@dataclass(frozen=True)
class Field:
    """A field as a migration has it.

    kind: Django's class, whatever its subclass; type: as SQL, None when it is not known, "" when another model tells
    it; target: (app.model, field or "") of a relation; default: as SQL, of Django's own default, which it drops at once
    again; stored: db_default as SQL; written: what Django compares when it looks for a change.
    """

    name: str
    kind: str
    type: str | None
    column: str
    null: bool = False
    unique: bool = False
    indexed: bool = False
    primary: bool = False
    default: str | None = None
    stored: str | None = None
    generated: bool = False
    target: tuple[str, str] | None = None
    constrained: bool = False
    collation: str = ""
    table: str = ""
    through: bool = False
    written: Mapping[str, str] = field(default_factory=dict)

    @property
    def concrete(self) -> bool:
        return self.kind not in _WITHOUT_COLUMN

    @property
    def check(self) -> str:
        return f'"{self.column}" >= 0' if self.kind in _POSITIVE else ""

    @property
    def identity(self) -> bool:
        return self.kind in _IDENTITY


@dataclass(frozen=True)
class _Given:
    """The options of a field: those of the call, and those that its class adds."""

    call: ast.Call
    module: Module
    kind: Kind

    def node(self, name: str) -> ast.expr | None:
        for one in self.call.keywords:
            if one.arg is None:
                raise Unreadable(ast.unparse(one.value))
            if one.arg == name:
                return one.value
        return None

    def value(self, name: str, default: Any = None) -> Any:
        node = self.node(name)
        return self.kind.implied.get(name, default) if node is None else self.module.value(node)


def read(name: str, call: ast.Call, module: Module, model: str) -> Field:
    """A field of a migration. model: app.model, for relations to itself. Raises Unreadable."""
    kind = kind_of(call, module)
    given = _Given(call, module, kind)
    relation = kind.name in RELATIONS
    unique = bool(given.value("unique", False)) or kind.name == "OneToOneField"
    stored = given.node("db_default")
    return Field(
        name=name,
        kind=kind.name,
        type=kind.type if kind.type is not None or not kind.known else _type(given),
        column=str(given.value("db_column") or (f"{name}_id" if relation else name)),
        null=bool(given.value("null", kind.name == "NullBooleanField")),
        unique=unique or bool(given.value("primary_key", False)),
        indexed=bool(given.value("db_index", relation or kind.name == "SlugField")),
        primary=bool(given.value("primary_key", False)),
        default=_default(given),
        stored=None if stored is None else sql_of(stored, module),
        generated=kind.name == "GeneratedField",
        target=_target(given, model) if relation or kind.name == "ManyToManyField" else None,
        constrained=relation and bool(given.value("db_constraint", True)),
        collation=str(given.value("db_collation") or ""),
        table=str(given.value("db_table") or ""),
        through=given.node("through") is not None,
        written=_written(given, model),
    )


def _type(given: _Given) -> str | None:
    kind = given.kind.name
    if kind in RELATIONS or kind in _WITHOUT_COLUMN:
        return ""
    if kind in ("ArrayField", "GeneratedField"):
        inner = given.node("base_field" if kind == "ArrayField" else "output_field")
        inner = given.call.args[0] if inner is None and given.call.args else inner
        if not isinstance(inner, ast.Call):
            return None
        found = read("x", inner, given.module, "").type
        size = given.value("size")
        return found if found is None or kind == "GeneratedField" else f"{found}[{'' if size is None else size}]"
    found = TYPES.get(kind)
    if found == "varchar":
        length = given.value("max_length", _LENGTHS.get(kind))
        return "varchar" if length is None else f"varchar({int(length)})"
    if found == "numeric" and given.value("max_digits") is not None:
        return f"numeric({int(given.value('max_digits'))}, {int(given.value('decimal_places'))})"
    return found


def _default(given: _Given) -> str | None:
    """What Django gives the rows that are there: the default, or an empty text where forms may leave it empty."""
    node = given.node("default")
    if node is None or (isinstance(node, ast.Constant) and node.value is None):
        now = given.value("auto_now", False) or given.value("auto_now_add", False)
        empty = given.kind.name in _WITH_EMPTY_STRING and given.value("blank", False) and not given.value("null", False)
        return "'2000-01-01 00:00:00'" if now else "''" if empty and given.node("db_default") is None else None
    try:
        return literal(given.module.value(node))
    except (Unreadable, TypeError, ValueError, LookupError, AttributeError):
        # A function: Django calls it once, and writes what it returns.
        return "'computed once'"


def _target(given: _Given, model: str) -> tuple[str, str]:
    node = given.node("to")
    node = given.call.args[0] if node is None and given.call.args else node
    if node is None:
        raise Unreadable("a relation without `to`")
    app = model.partition(".")[0]
    try:
        found = str(given.module.value(node))
    except Unset as unset:
        # A model that an app lets a project replace, by the setting APP_NAME_MODEL: its own one.
        found = unset.setting[: -len("_MODEL")].rpartition("_")[2]
    whole = model if found == "self" else found if "." in found else f"{app}.{found}"
    return whole.lower(), str(given.value("to_field") or "")


def _written(given: _Given, model: str) -> dict[str, str]:
    """The options that Django compares, as text, and the class."""
    found = {
        str(one.arg): ast.unparse(one.value)
        for one in given.call.keywords
        if one.arg not in _NOT_IN_DATABASE and one.arg != "to"
    }
    target = _target(given, model)[0] if given.kind.name in RELATIONS | {"ManyToManyField"} else ""
    return {**found, "class": str(given.module.dotted(given.call.func)), "to": target}
