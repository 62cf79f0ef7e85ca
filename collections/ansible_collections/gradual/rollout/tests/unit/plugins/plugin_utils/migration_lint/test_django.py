# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What migration_lint reads out of migrations of Django: the operations by their names, RunSQL as SQL, and what is not
written out."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import judge


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
        ('migrations.AddField("order", "note", models.TextField(default=""))', ["adding-required-field"]),
        ('migrations.AddField("order", "note", models.TextField())', ["adding-required-field"]),
        (
            'migrations.AddField("order", "to", models.ForeignKey("x", null=True, on_delete=1))',
            ["require-concurrent-index-creation", "adding-foreign-key-constraint"],
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
        ('AddIndexConcurrently("order", models.Index(fields=["a"], name="i"))', []),
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
        (f'{STATE}[migrations.RunSQL("DROP TABLE orders")], [])', ["unseen"]),
        (f"{STATE}**lists)", ["unseen"]),
        (f"{STATE}database_operations=BASE)", ["unseen"]),
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
        .replace("\n        [", "\n    [")
    )
    found = judge.lint("django", str(tmp_path), ".", "shop.0001_first")["findings"]
    assert [one["rule"] for one in found] == wanted


def test_a_list_that_comes_from_elsewhere_is_not_seen(tmp_path: Path) -> None:
    django(tmp_path, "")
    file = tmp_path / "shop/migrations/0001_first.py"
    file.write_text(file.read_text().replace("operations = [\n\n    ]", "from shared import operations"))
    assert [one["rule"] for one in judge.lint("django", str(tmp_path), ".", "shop.0001_first")["findings"]] == [
        "unseen"
    ]
