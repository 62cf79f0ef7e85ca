# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What migration_lint reads out of migrations of Django: the operations by their names, RunSQL as SQL, and what is not
written out."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration import adapters
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import judge, sources


def django(release: Path, operations: str, head: str = 'gradual_phase = "expand"') -> None:
    """A Django project with one application and one migration."""
    folder = release / "shop/migrations"
    folder.mkdir(parents=True)
    (release / "manage.py").write_text('import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")\n')
    (release / "settings.py").write_text('INSTALLED_APPS = ["shop"]\n')
    for init in (release / "shop/__init__.py", folder / "__init__.py"):
        init.write_text("")
    body = "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
    (folder / "0001_first.py").write_text(
        f"{body}    {head}\n    dependencies = []\n    operations = [\n{textwrap.indent(operations, ' ' * 8)}\n    ]\n"
    )


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [
        ('migrations.CreateModel("Order", [("id", models.BigAutoField(primary_key=True))])', []),
        ('migrations.AddField("order", "note", models.TextField(null=True))', []),
        ('migrations.AddField("order", "note", models.TextField(db_default=""))', []),
        ('migrations.AddField("order", "note", models.TextField(default=""))', ["drop-default-in-expand"]),
        ('migrations.AddField("order", "note", models.TextField())', ["adding-required-field"]),
        (
            'migrations.AddField("order", "to", models.ForeignKey("x", null=True, on_delete=1))',
            ["reference-to-live-table", "require-concurrent-index-creation"],
        ),
        (
            (
                'migrations.AddField("order", "to", models.ForeignKey("x", null=True, on_delete=1, db_index=False,'
                " db_constraint=False))"
            ),
            [],
        ),
        ('migrations.RemoveField("order", "note")', ["drop-in-expand"]),
        ('migrations.RenameField("order", "a", "b")', ["rename-in-expand"]),
        ('migrations.AlterField("order", "a", models.BigIntegerField())', ["changing-column-type"]),
        ('migrations.AddIndex("order", models.Index(fields=["a"], name="i"))', ["require-concurrent-index-creation"]),
        (
            'AddIndexConcurrently("order", models.Index(fields=["a"], name="i"))',
            ["ban-concurrent-index-creation-in-transaction"],
        ),
        ('migrations.RunSQL("UPDATE shop_order SET a = 1", migrations.RunSQL.noop)', ["whole-table-update"]),
        ('migrations.RunSQL([("DELETE FROM shop_order WHERE id = %s", [1]), "TRUNCATE shop_order"])', ["truncate"]),
        ("migrations.RunSQL(SQL)", ["unseen"]),
        ("migrations.RunPython(forwards)", ["unseen"]),
        ('migrations.CreateModel("Order", []), migrations.AddIndex("order", models.Index(fields=["a"], name="i"))', []),
        (
            'migrations.SeparateDatabaseAndState(database_operations=[migrations.RunSQL("DROP TABLE a")])',
            ["drop-in-expand"],
        ),
    ],
)
def test_operations_of_django(tmp_path: Path, operation: str, wanted: list[str]) -> None:
    django(tmp_path, operation)
    found = judge.lint("django", str(tmp_path), ".", "shop.0001_first")["findings"]
    assert [one["rule"] for one in found] == wanted


STATE = "migrations.SeparateDatabaseAndState("


@pytest.mark.parametrize(
    ("operation", "wanted"),
    [
        (f'{STATE}[migrations.RunSQL("DROP TABLE orders")], [])', ["drop-in-expand"]),
        (f"{STATE}**lists)", ["unseen"]),
        (f"{STATE}database_operations=BASE)", ["unseen"]),
        (f"{STATE}state_operations=BASE)", ["unseen"]),
        (f'{STATE}database_operations=BASE)]\nBASE = [migrations.RunSQL("DROP TABLE orders")', ["drop-in-expand"]),
        (f"{STATE}database_operations=BASE)]\nBASE = []\nBASE += [FIRST", ["unseen"]),
        (
            f'{STATE}state_operations=[migrations.CreateModel("Order", [])]), migrations.RemoveField("order", "note")',
            ["drop-in-expand"],
        ),
        (
            (
                f'{STATE}database_operations=[migrations.CreateModel("Order", [])]), migrations.RemoveField("order",'
                ' "note")'
            ),
            [],
        ),
        ('migrations.DeleteModel("Order"), migrations.CreateModel("Order", [])', ["drop-in-expand"]),
        ("*others()", ["unseen"]),
        ("FIRST", ["unseen"]),
        ("]\noperations += [FIRST", ["unseen"]),
        ("]\noperations.append(FIRST)\n[", ["unseen"]),
        ("] + [FIRST", ["unseen"]),
        ("migrations.RunSQL(one) for one in SQL", ["unseen"]),
    ],
)
def test_operations_of_django_that_are_hidden(tmp_path: Path, operation: str, wanted: list[str]) -> None:
    django(tmp_path, operation)
    file = tmp_path / "shop/migrations/0001_first.py"
    file.write_text(
        file.read_text()
        .replace("\n        ]", "\n    ]")
        .replace("\n        operations", "\n    operations")
        .replace("\n        BASE", "\n    BASE")
        .replace("\n        [", "\n    [")
    )
    found = judge.lint("django", str(tmp_path), ".", "shop.0001_first")["findings"]
    assert [one["rule"] for one in found] == wanted


@pytest.mark.parametrize(("second", "wanted"), [("total__gte=-9", 1), ("total__gte=0", 2), ("total__lte=9", 2)])
def test_only_the_same_condition_is_a_check_that_is_there(tmp_path: Path, second: str, wanted: int) -> None:
    """Conditions that are not read further than their columns are compared by their text."""
    made = 'AddConstraintNotValid("order", models.CheckConstraint(condition=models.Q({}), name="{}")),'
    django(tmp_path, made.format("total__gte=-9", "a") + "\n" + made.format(second, "b"))
    found = judge.lint("django", str(tmp_path), ".", "shop.0001_first")["findings"]
    assert [one["rule"] for one in found] == ["constraint-in-expand"] * wanted


def test_a_list_that_comes_from_elsewhere_is_not_seen(tmp_path: Path) -> None:
    django(tmp_path, "")
    file = tmp_path / "shop/migrations/0001_first.py"
    file.write_text(file.read_text().replace("operations = [\n\n    ]", "from shared import operations"))
    assert [one["rule"] for one in judge.lint("django", str(tmp_path), ".", "shop.0001_first")["findings"]] == [
        "unseen"
    ]


BRANCHES = {
    "another database": ('if connection.vendor == "mysql":', "", []),
    "several others": ('if connection.vendor in ("mysql", "sqlite"):', "", []),
    "another one and more": ('if connection.vendor == "mysql" and not connection.mysql_is_mariadb:', "", []),
    "not this one": ('if not connection.vendor == "postgresql":', "", []),
    "this one": ('if connection.vendor == "postgresql":', "", ["drop-in-expand"]),
    "this one or another": (
        'if connection.vendor == "postgresql" or connection.vendor == "sqlite":',
        "",
        ["drop-in-expand"],
    ),
    "else": ('if connection.vendor == "mysql":', "\n    else:\n        operations = []", []),
    "nobody can tell": ("if connection.features.x:", "", ["drop-in-expand"]),
    "this one, perhaps": ('if connection.vendor == "postgresql" and SOMETHING:', "", ["drop-in-expand"]),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_operations_for_other_databases_are_not_read(tmp_path: Path, name: str) -> None:
    condition, more, wanted = BRANCHES[name]
    django(tmp_path, "")
    file = tmp_path / "shop/migrations/0001_first.py"
    inner = f'    operations = [\n            migrations.RunSQL("DROP TABLE a")\n        ]{more}'
    text = file.read_text().replace("operations = [\n\n    ]", f"{condition}\n    {inner}")
    file.write_text(text.replace("import migrations", "import connection, migrations"))
    found = judge.lint("django", str(tmp_path), ".", "shop.0001_first")["findings"]
    assert [one["rule"] for one in found] == wanted


@pytest.mark.parametrize(
    ("base", "wanted"), [("migrations.Migration", []), ("Shared", ["unseen"]), ("migrations.Migration, B", ["unseen"])]
)
def test_a_migration_without_operations_has_none_if_it_inherits_none(
    tmp_path: Path, base: str, wanted: list[str]
) -> None:
    django(tmp_path, "")
    file = tmp_path / "shop/migrations/0001_first.py"
    text = file.read_text().replace("operations = [\n\n    ]", "").replace("(migrations.Migration)", f"({base})")
    file.write_text(text)
    found = judge.lint("django", str(tmp_path), ".", "shop.0001_first")["findings"]
    assert [one["rule"] for one in found] == wanted


HEAD = 'gradual_phase = "expand"\n    atomic = False'
FIRST = (
    'migrations.CreateModel("Order", [("id", models.BigAutoField(primary_key=True)), '
    '("a", models.CharField(max_length=10, null=True))])'
)


def second(release: Path, operation: str, head: str = "") -> list[dict[str, Any]]:
    """The findings of a second migration, on the model that the first one made."""
    django(release, FIRST)
    first = release / "shop/migrations/0001_first.py"
    text = first.read_text().replace("dependencies = []", 'dependencies = [("shop", "0001_first")]')
    (first.parent / "0002_next.py").write_text(head + text.replace(FIRST, operation))
    found = judge.lint("django", str(release), ".", "shop.0002_next", recorded=["shop.0001_first"])
    return [one for one in found["findings"] if one["revision"] == "shop.0002_next"]


UNKNOWN = {
    "a class that is not there": (
        "import mptt.fields\n",
        'migrations.AddField("order", "x", mptt.fields.TreeForeignKey("Order", null=True, on_delete=1))',
        {"unseen", "require-concurrent-index-creation"}),
    "an unknown field": (
        "import odd\n", 'migrations.AddField("order", "x", odd.Field(null=True))', {"unseen"}),
    "a change to an unknown field": (
        "import odd\n", 'migrations.AlterField("order", "a", odd.Field(null=True))', {"unseen"}),
    "a random default": (
        "from django.contrib.postgres.functions import RandomUUID\n",
        'migrations.AddField("order", "x", models.UUIDField(db_default=RandomUUID()))', {"adding-field-with-default"}),
    "a check that Django adds": (
        "", 'migrations.AddField("order", "x", models.PositiveIntegerField(null=True))',
        {"constraint-missing-not-valid"}),
    "an operation that nobody knows": ("import odd\n", 'odd.Operation("order")', {"unseen"}),
    "code": ("", "migrations.RunPython(forwards)", {"unseen"}),
    "only options": (
        "", 'migrations.AlterField("order", "a", models.CharField(max_length=10, null=True, choices=[("a", "A")]))',
        set()),
    "no code": ("", "migrations.RunPython(migrations.RunPython.noop)", set()),
    "many to many": ("", 'migrations.AddField("order", "m", models.ManyToManyField("Order"))', None),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_never_a_pass(tmp_path: Path, name: str) -> None:
    head, operation, wanted = UNKNOWN[name]
    found = {one["rule"] for one in second(tmp_path, operation, head)}
    if wanted is not None:
        assert wanted <= found
        assert bool(wanted) == bool(found)


def test_a_wider_column_comes_with_the_type_that_it_has(tmp_path: Path) -> None:
    second(tmp_path, 'migrations.AlterField("order", "a", models.CharField(max_length=20, null=True))')
    tool = adapters.of("django", str(tmp_path), ".")
    (piece,) = sources.sources("django", str(tmp_path), tool.pending([], "head"), ".")[-1].pieces
    assert piece.sql == 'ALTER TABLE "shop_order" ALTER COLUMN "a" TYPE varchar(20)'
    assert piece.known_types == (("shop_order", "a", "varchar(10)"),)


@pytest.mark.parametrize(
    ("relation", "changed"),
    [('models.ForeignKey("order", 1)', 1), ('models.ForeignKey("order", 1, to_field="mail")', 2)],
)
def test_a_new_type_of_a_key_changes_the_relations_that_name_it(tmp_path: Path, relation: str, changed: int) -> None:
    fields = '("id", models.BigAutoField(primary_key=True)), ("mail", models.CharField(max_length=9, unique=True))'
    made = (
        f'migrations.CreateModel("Order", [{fields}]), migrations.CreateModel("Item", [("id",'
        f' models.BigAutoField(primary_key=True)), ("order", {relation})])'
    )
    django(tmp_path, made)
    first = tmp_path / "shop/migrations/0001_first.py"
    text = first.read_text().replace("dependencies = []", 'dependencies = [("shop", "0001_first")]')
    change = 'migrations.AlterField("order", "mail", models.CharField(max_length=5, unique=True))'
    (first.parent / "0002_next.py").write_text(text.replace(made, change))
    found = judge.lint("django", str(tmp_path), ".", "shop.0002_next", recorded=["shop.0001_first"])["findings"]
    assert [one["rule"] for one in found].count("changing-column-type") == changed


def test_an_index_outside_of_a_transaction(tmp_path: Path) -> None:
    django(tmp_path, 'AddIndexConcurrently("order", models.Index(fields=["a"], name="i"))', HEAD)
    assert judge.lint("django", str(tmp_path), ".", "shop.0001_first")["findings"] == []


def test_a_squashed_migration_is_not_replayed_before_those_that_it_replaces(tmp_path: Path) -> None:
    change = 'migrations.AlterField("order", "a", models.CharField(max_length=20, null=True))'
    second(tmp_path, change)
    first = (tmp_path / "shop/migrations/0001_first.py").read_text()
    squashed = first.replace("max_length=10", "max_length=20").replace(
        "dependencies = []", 'dependencies = []\n    replaces = [("shop", "0001_first"), ("shop", "0002_next")]'
    )
    (tmp_path / "shop/migrations/0001_squashed.py").write_text(squashed)
    tool = adapters.of("django", str(tmp_path), ".")
    road = [*tool.pending([], "head"), *tool.pending(["shop.0001_first"], "head")]
    assert [one.revision for one in road] == ["shop.0001_squashed", "shop.0002_next"]
    found = sources.sources("django", str(tmp_path), road, ".")
    assert [one.revision for one in found] == ["shop.0001_first", "shop.0002_next"]
    assert [piece.known_types for piece in found[-1].pieces] == [(("shop_order", "a", "varchar(10)"),)]
    (whole,) = sources.sources("django", str(tmp_path), tool.pending([], "head"), ".")
    assert whole.revision == "shop.0001_squashed"


def test_an_app_that_is_not_found_is_a_finding(tmp_path: Path) -> None:
    django(tmp_path, FIRST)
    (tmp_path / "settings.py").write_text('INSTALLED_APPS = ["shop", "gone"]\n')
    found = judge.lint("django", str(tmp_path), ".", "head")["findings"]
    assert [(one["revision"], one["rule"]) for one in found] == [("gone.not_found", "unseen")]
    assert "the app 'gone' of INSTALLED_APPS" in found[0]["why"]
