"""What migration_lint says that a migration of Django will run, held against what Django itself runs on a real server.

Every case is an application of its own with the same first migration, and a second one with the case's operations.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration import adapters
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.sources import sources

from . import server as support

HEAD = """\
import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import uuid
from django.contrib.postgres.functions import RandomUUID
from django.contrib.postgres.operations import AddIndexConcurrently, AddConstraintNotValid, ValidateConstraint
from django.db import migrations, models
from django.db.models.functions import Now
from library import fields
CASCADE = django.db.models.deletion.CASCADE


class Migration(migrations.Migration):
"""
FIRST = """
    initial = True
    operations = [
        migrations.CreateModel("User", [("id", models.BigAutoField(primary_key=True)), ("name", models.TextField())]),
        migrations.CreateModel("Order", [
            ("id", models.BigAutoField(primary_key=True)),
            ("a", models.CharField(max_length=10, null=True)),
            ("b", models.CharField(max_length=10, default="x")),
            ("n", models.IntegerField(null=True)),
            ("indexed", models.CharField(max_length=10, null=True, db_index=True)),
            ("price", models.DecimalField(max_digits=8, decimal_places=2, null=True)),
            ("positive", models.PositiveIntegerField(null=True)),
            ("stored", models.IntegerField(db_default=1)),
            ("owner", models.ForeignKey("User", CASCADE, null=True, related_name="+")),
            ("many", models.ManyToManyField("User", related_name="+")),
        ], options={"unique_together": {("a", "n")}}),
        migrations.AddIndex("order", models.Index(fields=["n"], name="LABEL_n")),
        migrations.AddConstraint("order", models.UniqueConstraint(fields=["b", "n"], name="LABEL_u")),
        migrations.AddConstraint(
            "order", models.UniqueConstraint(fields=["b"], condition=models.Q(positive=1), name="LABEL_partly")),
    ]
"""
LIBRARY = """\
from django.db import models


class TreeForeignKey(models.ForeignKey):
    pass


class Amount(models.DecimalField):
    def __init__(self, *args, **kwargs):
        kwargs["max_digits"] = 12
        kwargs.setdefault("decimal_places", 2)
        super().__init__(*args, **kwargs)


class Money(Amount):
    def db_type(self, connection):
        return "money"
"""
MODEL, ADD, ALTER = (
    "migrations.CreateModel",
    'migrations.AddField("order", "x", {})',
    'migrations.AlterField("order", {})',
)


def add(field: str) -> str:
    return ADD.format(field)


def alter(field: str) -> str:
    return ALTER.format(field)


CASES = {
    "a text": add("models.TextField(null=True)"),
    "a required text": add('models.CharField(max_length=5, default="new")'),
    "an empty text": add("models.CharField(max_length=5, blank=True)"),
    "a nullable default": add("models.IntegerField(null=True, default=3)"),
    "a number that Django computes once": add("models.UUIDField(default=uuid.uuid4)"),
    "a stored number": add("models.IntegerField(db_default=3)"),
    "a stored random": add("models.UUIDField(db_default=RandomUUID())"),
    "a stored time": add("models.DateTimeField(db_default=Now())"),
    "the time of adding": add("models.DateTimeField(auto_now=True, null=True)"),
    "a positive number": add("models.PositiveIntegerField(null=True)"),
    "a small positive number": add("models.PositiveSmallIntegerField(null=True)"),
    "a slug": add("models.SlugField(null=True)"),
    "a unique text": add("models.CharField(max_length=5, null=True, unique=True)"),
    "an indexed number": add("models.IntegerField(null=True, db_index=True)"),
    "an indexed text": add("models.TextField(null=True, db_index=True)"),
    "an array": add("django.contrib.postgres.fields.ArrayField(models.CharField(max_length=3), null=True)"),
    "JSON": add("models.JSONField(null=True)"),
    "a file": add("models.FileField(null=True)"),
    "a mail address": add("models.EmailField(null=True)"),
    "a column of another name": add('models.IntegerField(null=True, db_column="y")'),
    "a reference": add('models.ForeignKey("User", CASCADE, null=True, related_name="+")'),
    "a reference by a subclass": add(
        'fields.TreeForeignKey(to="User", on_delete=CASCADE, null=True, related_name="+")'),
    "a reference without an index": add(
        'models.ForeignKey("User", CASCADE, null=True, related_name="+", db_index=False)'),
    "a reference without a constraint": add(
        'models.ForeignKey("User", CASCADE, null=True, related_name="+", db_constraint=False)'),
    "one to one": add('models.OneToOneField("User", CASCADE, null=True, related_name="+")'),
    "itself": add('models.ForeignKey("self", CASCADE, null=True, related_name="+")'),
    "many to many": add('models.ManyToManyField("User", related_name="+")'),
    "many to many with itself": add('models.ManyToManyField("self")'),
    "a subclass with options of its own": add("fields.Amount(null=True)"),
    "a subclass with a type of its own": add("fields.Money(null=True)"),
    "only options": alter(
        '"a", models.CharField("A", max_length=10, null=True, choices=[("a", "A")], help_text="x", blank=True)'),
    "only a default": alter('"b", models.CharField(max_length=10, default="y")'),
    "only what Django does": alter('"owner", models.ForeignKey("User", models.SET_NULL, null=True, related_name="o")'),
    "wider": alter('"a", models.CharField(max_length=20, null=True)'),
    "text": alter('"a", models.TextField(null=True)'),
    "more digits": alter('"price", models.DecimalField(max_digits=12, decimal_places=2, null=True)'),
    "another type": alter('"n", models.BigIntegerField(null=True)'),
    "text to number": alter('"n", models.TextField(null=True)'),
    "nullable": alter('"b", models.CharField(max_length=10, default="x", null=True)'),
    "not nullable": alter('"n", models.IntegerField()'),
    "not nullable, with a default": alter('"a", models.CharField(max_length=10, default="z")'),
    "wider and not nullable": alter('"a", models.CharField(max_length=20, default="z")'),
    "unique": alter('"a", models.CharField(max_length=10, null=True, unique=True)'),
    "an index": alter('"a", models.CharField(max_length=10, null=True, db_index=True)'),
    "no index": alter('"owner", models.ForeignKey("User", CASCADE, null=True, related_name="+", db_index=False)'),
    "a check": alter('"n", models.PositiveIntegerField(null=True)'),
    "no check": alter('"positive", models.IntegerField(null=True)'),
    "a stored default": alter('"n", models.IntegerField(null=True, db_default=7)'),
    "no stored default": alter('"stored", models.IntegerField()'),
    "a reference that is required": alter('"owner", models.ForeignKey("User", CASCADE, related_name="+")'),
    "another column": alter('"n", models.IntegerField(null=True, db_column="m")'),
    "a number that becomes a reference": alter('"n", models.ForeignKey("User", CASCADE, null=True, related_name="+")'),
    "many to many, only options": alter('"many", models.ManyToManyField("User", related_name="m", blank=True)'),
    "RemoveField": 'migrations.RemoveField("order", "n")',
    "RemoveField of a reference": 'migrations.RemoveField("order", "owner")',
    "RemoveField of many to many": 'migrations.RemoveField("order", "many")',
    "RenameField": 'migrations.RenameField("order", "n", "m")',
    "RenameField of a reference": 'migrations.RenameField("order", "owner", "buyer")',
    "a change after a new name": 'migrations.RenameField("order", "a", "c"), '
                                 'migrations.AlterField("order", "c", models.CharField(max_length=30, null=True))',
    "CreateModel": f'{MODEL}("Line", [("id", models.AutoField(primary_key=True)), ("name", models.SlugField()), '
                   '("order", models.ForeignKey("Order", CASCADE)), ("n", models.PositiveIntegerField())], '
                   'options={"unique_together": {("name", "n")}, "ordering": ["n"]})',
    "CreateModel with an index on it": f'{MODEL}("Line", [("id", models.AutoField(primary_key=True)), '
                                       '("n", models.IntegerField())]), '
                                       'migrations.AddIndex("line", models.Index(fields=["-n"], name="LABEL_line_n"))',
    "CreateModel of a proxy": f'{MODEL}("Proxy", [], options={{"proxy": True}}, bases=("LABEL.order",))',
    "CreateModel of what is not managed": f'{MODEL}("View", [("id", models.AutoField(primary_key=True))], '
                                          'options={"managed": False})',
    "CreateModel with a table": f'{MODEL}("Line", [("id", models.AutoField(primary_key=True))], '
                                'options={"db_table": "LABEL_lines"})',
    "DeleteModel": 'migrations.RemoveField("order", "owner"), migrations.DeleteModel("Order")',
    "RenameModel": 'migrations.RenameModel("User", "Person")',
    "AlterModelTable": 'migrations.AlterModelTable("user", "LABEL_people")',
    "AlterModelTable to the same": 'migrations.AlterModelTable("user", "LABEL_user")',
    "AlterModelOptions": 'migrations.AlterModelOptions("user", {"ordering": ["name"], "verbose_name": "x"})',
    "AlterModelManagers": 'migrations.AlterModelManagers("user", [])',
    "AlterOrderWithRespectTo": 'migrations.AlterOrderWithRespectTo("order", "owner")',
    "AlterUniqueTogether": 'migrations.AlterUniqueTogether("order", {("a", "b")})',
    "AlterUniqueTogether to the same": 'migrations.AlterUniqueTogether("order", {("a", "n")})',
    "AlterUniqueTogether to nothing": 'migrations.AlterUniqueTogether("order", set())',
    "AddIndex": 'migrations.AddIndex("order", models.Index(fields=["a", "-n"], name="LABEL_i"))',
    "AddIndex of GIN": add("models.JSONField(null=True)") + ", " +
                       'migrations.AddIndex("order", django.contrib.postgres.indexes.GinIndex('
                       'fields=["x"], name="LABEL_i"))',
    "RemoveIndex": 'migrations.RemoveIndex("order", "LABEL_n")',
    "RenameIndex": 'migrations.RenameIndex("order", new_name="LABEL_m", old_name="LABEL_n")',
    "UniqueConstraint": 'migrations.AddConstraint("order", models.UniqueConstraint(fields=["a"], name="LABEL_c"))',
    "UniqueConstraint that includes": 'migrations.AddConstraint("order", models.UniqueConstraint('
                                      'fields=["a"], include=["n"], name="LABEL_c"))',
    "UniqueConstraint that may wait": 'migrations.AddConstraint("order", models.UniqueConstraint('
                                      'fields=["a"], deferrable=models.Deferrable.DEFERRED, name="LABEL_c"))',
    "CheckConstraint of NOT NULL": 'migrations.AddConstraint("order", models.CheckConstraint('
                                   'condition=models.Q(n__isnull=False), name="LABEL_c"))',
    "AddConstraintNotValid": 'AddConstraintNotValid("order", models.CheckConstraint('
                             'condition=models.Q(n__isnull=False), name="LABEL_c"))',
    "RemoveConstraint": 'migrations.RemoveConstraint("order", "LABEL_u")',
    "RemoveConstraint of an index": 'migrations.RemoveConstraint("order", "LABEL_partly")',
    "state alone": "migrations.SeparateDatabaseAndState(state_operations=["
                   'migrations.AddField("order", "x", models.IntegerField())])',
    "database alone": "migrations.SeparateDatabaseAndState(database_operations=["
                      'migrations.RunSQL("ALTER TABLE LABEL_order ADD y int")], state_operations=['
                      'migrations.AddField("order", "y", models.IntegerField(null=True))]), '
                      'migrations.AlterField("order", "y", models.IntegerField(null=True, help_text="x"))',
    "RunPython.noop": "migrations.RunPython(migrations.RunPython.noop)",
    "RunSQL.noop": "migrations.RunSQL(migrations.RunSQL.noop)",
    "RunSQL with parameters": 'migrations.RunSQL([("UPDATE LABEL_order SET n = 1 WHERE a = %s", ["x"])])',
    "RunSQL that tells the state": 'migrations.RunSQL("ALTER TABLE LABEL_order ADD z int", state_operations=['
                                   'migrations.AddField("order", "z", models.IntegerField(null=True))]), '
                                   'migrations.AlterField("order", "z", models.BigIntegerField(null=True))',
}  # fmt: skip
LABELS = {name: f"case{number:03}" for number, name in enumerate(CASES)}
RUN = """
import json, sys
import django
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
django.setup()
found = {}

def listen(execute, sql, params, many, context):
    found[name].append(connection.ops.compose_sql(sql, params) if params else sql)
    return execute(sql, params, many, context)

executor = MigrationExecutor(connection)
for migration, _backwards in executor.migration_plan(executor.loader.graph.leaf_nodes()):
    name = f"{migration.app_label}.{migration.name}"
    found[name] = []
    with connection.execute_wrapper(listen):
        MigrationExecutor(connection).migrate([(migration.app_label, migration.name)])
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with an application for each case."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "library").mkdir()
    (folder / "library/__init__.py").write_text("")
    (folder / "library/fields.py").write_text(LIBRARY)
    (folder / "manage.py").write_text('import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")\n')
    (folder / "settings.py").write_text(f"INSTALLED_APPS = {list(LABELS.values())}\nSECRET_KEY = 'x'\n")
    for name, label in LABELS.items():
        migrations = folder / label / "migrations"
        migrations.mkdir(parents=True)
        for init in (folder / label / "__init__.py", migrations / "__init__.py"):
            init.write_text("")
        (migrations / "0001_initial.py").write_text((HEAD + FIRST).replace("LABEL", label))
        body = f"    dependencies = [('{label}', '0001_initial')]\n    operations = [{CASES[name]}]\n"
        (migrations / "0002_case.py").write_text((HEAD + body).replace("LABEL", label))
    return folder


@pytest.fixture(scope="module")
def ran(server: support.Server, project: Path) -> Iterator[dict[str, list[str]]]:
    """{migration: the statements that Django ran}, on a database of its own."""
    server.run(f"CREATE DATABASE statements OWNER {support.OWNER}")
    (project / "live.py").write_text(
        "from settings import *\nDATABASES = {'default': {'ENGINE': 'django.db.backends.postgresql', 'NAME':"
        f" 'statements', 'USER': '{support.OWNER}', 'PASSWORD': '{support.PASSWORD}', 'HOST': '127.0.0.1', 'PORT':"
        f" '{server.port}'}}}}\nDEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=project,
        env={"DJANGO_SETTINGS_MODULE": "live", "PYTHONPATH": str(project)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    yield json.loads(done.stdout)
    server.run("DROP DATABASE IF EXISTS statements WITH (FORCE)")


@pytest.fixture(scope="module")
def read(project: Path) -> dict[str, list[str]]:
    """{migration: the statements that migration_lint read}; nothing in these projects is unseen."""
    tool = adapters.of("django", str(project), ".")
    found = sources("django", str(project), tool.pending([], "head"))
    assert [one.unseen for one in found if one.unseen] == []
    return {one.revision: [piece.sql for piece in one.pieces] for one in found}


_OBJECT = r"(?:INDEX|CONSTRAINT|CONSTRAINTS)(?: CONCURRENTLY)?(?: IF EXISTS)?"
_NAMED = re.compile(rf'({_OBJECT}) "\w*_(?:[0-9a-f]{{8}}\w*|fk|idx|uniq|like|check|key)"')
_VALUE = re.compile(r"(DEFAULT|SET \"\w+\" =|WHERE a =) (?:'[^']*'(?:::\w+)?|NULL)")
# A condition is read as one that names the same columns and has its own text.
_CONDITION = re.compile(r'WHERE (?:concat\(("\w+")\) <> \'(?:[^\']|\'\')+\'|("\w+") = 1)$')


_OF_DJANGO = ("SELECT", 'INSERT INTO "django_', 'CREATE TABLE "django_', "SAVEPOINT", "RELEASE")


def plain(statements: list[str]) -> list[str]:
    """Statements as a list to compare: without questions, Django's own records, made-up names and plain values."""
    found = []
    for sql in statements:
        for one in sql.split("; "):
            text = " ".join(one.split()).rstrip(";")
            if not text.startswith(_OF_DJANGO):
                text = _VALUE.sub(r"\1 '?'", _NAMED.sub(r'\1 "?"', text))
                text = _CONDITION.sub(lambda match: f"WHERE {match[1] or match[2]}", text)
                found.append(text.replace("( ", "(").replace(" )", ")").lower())
    return found


@pytest.mark.parametrize("name", CASES)
def test_the_statements_are_those_that_django_runs(
    ran: dict[str, list[str]], read: dict[str, list[str]], name: str
) -> None:
    migration = f"{LABELS[name]}.0002_case"
    assert plain(read[migration]) == plain(ran[migration])


def test_the_first_migration_too(ran: dict[str, list[str]], read: dict[str, list[str]]) -> None:
    migration = f"{LABELS['a text']}.0001_initial"
    assert plain(read[migration]) == plain(ran[migration])
    assert len(ran[migration]) > 10
