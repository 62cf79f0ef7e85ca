"""The same three revisions, expand, expand and contract, as a release of each migration tool would bring them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import server as support


@dataclass(frozen=True)
class Step:
    """One revision; concurrently: outside of a transaction."""

    number: int
    sql: str
    phase: str | None = "expand"
    concurrently: bool = False
    back: str = "SELECT 1"


FIRST = Step(1, "CREATE TABLE items (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, extra text)")
COLUMN = Step(2, "ALTER TABLE items ADD COLUMN note text", back="ALTER TABLE items DROP COLUMN note")
INDEX = Step(2, "CREATE INDEX CONCURRENTLY items_extra ON items (extra)", concurrently=True)
GOODBYE = Step(3, "ALTER TABLE items DROP COLUMN extra", phase="contract")

SETTINGS = """
import os
from urllib.parse import urlsplit

SECRET_KEY = "only a test"
INSTALLED_APPS = ["shop"]
USE_TZ = True
url = urlsplit(os.environ["DATABASE_URL"])
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": url.path[1:], "USER": url.username, "PASSWORD": url.password, "HOST": url.hostname, "PORT": url.port,
    # As projects do: a name and settings of their own, which must not get the better of Gradual's.
    "OPTIONS": {"application_name": "shop-migrate", "options": "-c lock_timeout=0"},
}}
"""
MANAGE = """
import os, sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "project.settings")
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""


def write(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def alembic(folder: Path, steps: Sequence[Step]) -> None:
    write(folder / "alembic.ini", "[alembic]\nscript_location = migrations\n")
    write(folder / "migrations" / "env.py", support.ENV)
    for one in steps:
        write(
            file(folder, "alembic", one),
            support.revision(one.number, one.sql, phase=one.phase, concurrently=one.concurrently)
            + f"def downgrade():\n    op.execute({one.back!r})\n",
        )


def django(folder: Path, steps: Sequence[Step]) -> None:
    write(folder / "manage.py", MANAGE)
    write(folder / "project" / "settings.py", SETTINGS)
    for package in ("project", "shop", "shop/migrations"):
        write(folder / package / "__init__.py", "")
    for one in steps:
        before = [("shop", f"{one.number - 1:04}_step")] if one.number > 1 else []
        said = f"    gradual_phase = {one.phase!r}\n" if one.phase else ""
        write(
            file(folder, "django", one),
            f"from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n{said}    atomic ="
            f" {not one.concurrently}\n    dependencies = {before!r}\n    operations = [migrations.RunSQL({one.sql!r},"
            f" {one.back!r})]\n",
        )


def sql(folder: Path, steps: Sequence[Step]) -> None:
    for one in steps:
        phase = f"-- gradual: phase={one.phase}\n" if one.phase else ""
        write(
            file(folder, "sql", one),
            f"{phase}{'-- gradual: transaction=none' if one.concurrently else ''}\n{one.sql};\n",
        )
        write(folder / "migrations" / f"{one.number:04}_step.down.sql", f"{one.back};\n")


def sqitch(folder: Path, steps: Sequence[Step]) -> None:
    plan = ["%syntax-version=1.0.0", "%project=shop", ""]
    for one in steps:
        phase = f"-- gradual: phase={one.phase}\n" if one.phase else ""
        write(
            file(folder, "sqitch", one),
            f"{phase}{one.sql};\n" if one.concurrently else f"{phase}BEGIN;\n{one.sql};\nCOMMIT;\n",
        )
        write(folder / "migrations" / "revert" / f"{one.number:04}_step.sql", f"BEGIN;\n{one.back};\nCOMMIT;\n")
        plan.append(f"{one.number:04}_step 2026-11-0{one.number}T12:00:00Z A Person <person@example.org> # step")
    write(folder / "migrations" / "sqitch.plan", "\n".join(plan) + "\n")
    write(folder / "migrations" / "sqitch.conf", "[core]\n    engine = pg\n")


WRITERS = {"alembic": alembic, "django": django, "sql": sql, "sqitch": sqitch}
PATHS = {"alembic": "migrations", "django": ".", "sql": "migrations", "sqitch": "migrations"}


def file(folder: Path, tool: str, one: Step) -> Path:
    """Where the text of a revision is."""
    return (
        folder
        / {
            "alembic": f"migrations/versions/{one.number:04}.py",
            "django": f"shop/migrations/{one.number:04}_step.py",
            "sql": f"migrations/{one.number:04}_step.sql",
            "sqitch": f"migrations/deploy/{one.number:04}_step.sql",
        }[tool]
    )


def name(tool: str, number: int) -> str:
    """The revision's name in the tool's own table."""
    return {"alembic": f"{number:04}", "django": f"shop.{number:04}_step"}.get(tool, f"{number:04}_step")


def release(shop: support.Shop, tool: str, *steps: Step) -> Path:
    """Stage a release of that tool's."""
    text = hashlib.sha256(repr(steps).encode()).hexdigest()[:8]
    folder = shop.server.folder / f"release-{shop.name}-{tool}-{text}"
    folder.mkdir()
    (folder / ".venv").symlink_to(shop.environment)
    WRITERS[tool](folder, steps)
    return folder
