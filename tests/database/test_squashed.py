"""A Django project whose migrations are squashed from one release to the next, on a real server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

from .releases import COLUMN, FIRST, Step, file, release, write
from .server import Shop
from .test_adapters import applied, apply, columns, steps

MORE = Step(4, "ALTER TABLE items ADD COLUMN more text")
SQUASHED = """\
from django.db import migrations


class Migration(migrations.Migration):
    gradual_phase = "expand"
{replaces}    operations = [migrations.RunSQL({first!r}), migrations.RunSQL({column!r})]
"""
REPLACES = "    replaces = [('shop', '0001_step'), ('shop', '0002_step')]\n"


def squash(folder: Path, replaces: str, *, keep: bool) -> Path:
    """0001_squashed in place of the first two; with another one behind it, unless they are kept."""
    text = SQUASHED.format(replaces=replaces, first=FIRST.sql, column=COLUMN.sql)
    write(folder / "shop/migrations/0001_squashed.py", text)
    if not keep:
        for one in (FIRST, COLUMN):
            file(folder, "django", one).unlink()
        last = file(folder, "django", MORE)
        last.write_text(last.read_text().replace("0003_step", "0001_squashed"))
    return folder


def rows(shop: Shop) -> Any:
    return shop.value("SELECT array_agg(name ORDER BY id) FROM django_migrations WHERE app = 'shop'")


def test_squashed_migrations_are_neither_applied_again_nor_refused(empty: Shop) -> None:
    before = release(empty, "django", FIRST, COLUMN)
    apply(empty, "django", before)
    # Nothing is pending, and Django does not run.
    both = squash(before, REPLACES, keep=True)
    assert apply(empty, "django", both, receipt=None)["applied"] == []
    assert rows(empty) == ["0001_step", "0002_step", "0001_squashed"]
    alone = squash(release(empty, "django", FIRST, COLUMN, MORE), "", keep=False)
    assert applied(apply(empty, "django", alone)) == ["shop.0004_step"]
    assert columns(empty) == {"id", "extra", "note", "more"}
    assert apply(empty, "django", alone, receipt=None)["applied"] == []
    assert ("shop.0001_squashed", True) in steps(empty, "django")


def test_a_database_that_missed_the_release_with_both_is_refused(empty: Shop) -> None:
    apply(empty, "django", release(empty, "django", FIRST, COLUMN))
    alone = squash(release(empty, "django", FIRST, COLUMN, MORE), "", keep=False)
    with pytest.raises(DatabaseError, match=r"shop\.0001_step, shop\.0002_step"):
        apply(empty, "django", alone)
    assert columns(empty) == {"id", "extra", "note"}
