"""Releases with one migration more, as the lint reads them, and the SQL that Alembic and Django make of it.

corpus/alembic.txt has bodies of upgrade(), corpus/django.txt lists of operations; cases are separated by blank lines,
and a line that begins with # is a title or, if it says `not atomic`, an option.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import textwrap
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pglast
import sqlalchemy
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import judge
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import ERROR

from tests.bench.lint.cases import DATA, Case
from tests.database.server import OWNER, PASSWORD, Server

TARGETS = {"sql": "0003_case", "alembic": "0002", "django": "shop.0002_case"}
RECORDED = {"sql": "0001_schema", "alembic": "0001", "django": "shop.0001_initial"}
_ALEMBIC = """phase = "expand"
revision = {revision!r}
down_revision = {parent!r}
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql


def upgrade():
{body}
"""
_DJANGO = """import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.db.models.deletion
import django.db.models.functions
from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.functions import RandomUUID
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, RemoveIndexConcurrently
from django.contrib.postgres.operations import ValidateConstraint
from django.db import migrations, models

import shop.fields


class Migration(migrations.Migration):
    gradual_phase = "expand"
    atomic = {atomic}
    dependencies = {parents}
    operations = [
{body}
    ]
"""
_MANAGE = 'import os\nos.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")\n'
_SETTINGS = """INSTALLED_APPS = ["shop"]
SECRET_KEY = "-"
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
"""


def blocks(tool: str) -> Iterator[tuple[list[str], str]]:
    """(notes, text) of each case of a tool."""
    for block in (DATA / f"{tool}.txt").read_text(encoding="utf-8").split("\n\n"):
        lines = block.strip("\n").split("\n")
        text = "\n".join(line for line in lines if not line.startswith("#"))
        if text.strip():
            yield [line[1:].strip() for line in lines if line.startswith("#")], text


def tool_cases(server: Server) -> list[Case]:
    """The cases of Alembic and Django with the SQL that the tool makes, on a database like the small template."""
    return [
        *(_case("alembic", notes, text, alembic_sql(server, text)) for notes, text in blocks("alembic")),
        *(
            _case("django", notes, text, django_sql(server, django_file(text, "not atomic" not in notes)))
            for notes, text in blocks("django")
        ),
    ]


def _case(tool: str, notes: Sequence[str], text: str, statements: Sequence[str]) -> Case:
    """One transaction around all of it is one that the tool begins."""
    words = [one.split()[0].upper() for one in statements]
    whole = words[:1] == ["BEGIN"] and words[-1:] == ["COMMIT"] and words.count("COMMIT") == 1
    titles = [one for one in notes if one != "not atomic"]
    return Case(
        topic=tool,
        title=titles[0] if titles else " ".join(text.split()),
        statements=tuple(statements[1:-1] if whole else statements),
        transaction=whole,
        tool=tool,
        file=django_file(text, "not atomic" not in notes) if tool == "django" else alembic_file(text),
        text=text,
    )


def alembic_file(body: str) -> str:
    return _ALEMBIC.format(revision="0002", parent="0001", body=textwrap.indent(body, "    "))


def django_file(body: str, atomic: bool, parents: str = '[("shop", "0001_initial")]') -> str:
    return _DJANGO.format(atomic=atomic, parents=parents, body=textwrap.indent(body, "        "))


def findings(case: Case, environment: Path) -> list[dict[str, Any]]:
    """What the lint says of a release with this case, on a database that has all before it. environment: what the
    release carries as its .venv."""
    with tempfile.TemporaryDirectory(prefix="gradual-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / ".venv").symlink_to(environment)
        path = _WRITERS[case.tool](folder, case)
        recorded = [RECORDED[case.tool], *([EARLIER] if case.earlier else [])]
        try:
            found: list[dict[str, Any]] = judge.lint(case.tool, name, path, TARGETS[case.tool], recorded)["findings"]
        except DatabaseError as error:
            # It stops the rollout as a finding does.
            return [{"rule": f"refused: {error}", "level": ERROR}]
        return found


# Between the schema and the case.
EARLIER = "0002_earlier"


def _write_sql(folder: Path, case: Case) -> str:
    """Files as the adapter for SQL reads them; the schema is the first."""
    versions = folder / "migrations"
    versions.mkdir()
    head = "-- gradual: phase=expand transaction={}\n"
    schema = (DATA / "schema.sql").read_text(encoding="utf-8").replace("{rows}", "1")
    (versions / f"{RECORDED['sql']}.sql").write_text(head.format("one") + schema)
    if case.earlier:
        (versions / f"{EARLIER}.sql").write_text(head.format("none") + ";\n".join(case.earlier) + ";\n")
    text = ";\n".join(case.statements) + ";\n"
    (versions / f"{TARGETS['sql']}.sql").write_text(head.format("one" if case.transaction else "none") + text)
    return "migrations"


def _write_alembic(folder: Path, case: Case) -> str:
    versions = folder / "migrations" / "versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = migrations\n")
    (folder / "migrations" / "env.py").write_text("")
    schema = (DATA / "schema.sql").read_text(encoding="utf-8").replace("{rows}", "1")
    base = _ALEMBIC.format(revision="0001", parent=None, body=textwrap.indent(f"op.execute({schema!r})", "    "))
    (versions / "0001.py").write_text(base)
    (versions / "0002.py").write_text(case.file)
    return "migrations"


def _write_django(folder: Path, case: Case) -> str:
    versions = folder / "shop" / "migrations"
    versions.mkdir(parents=True)
    for file, text in {
        "manage.py": _MANAGE, "settings.py": _SETTINGS, "shop/__init__.py": "", "shop/migrations/__init__.py": "",
        "shop/fields.py": _data("django_fields.txt"), "shop/migrations/0001_initial.py": initial(),
        "shop/migrations/0002_case.py": case.file,
    }.items():  # fmt: skip
        (folder / file).write_text(text)
    return "."


_WRITERS = {"sql": _write_sql, "alembic": _write_alembic, "django": _write_django}


def _data(name: str) -> str:
    return (DATA / name).read_text(encoding="utf-8")


def initial() -> str:
    """Django's first migration of the shop."""
    return django_file(_data("django_initial.txt"), True, "[]").replace(
        'gradual_phase = "expand"', 'gradual_phase = "expand"\n    initial = True'
    )


def alembic_sql(server: Server, body: str) -> list[str]:
    """What upgrade() writes in offline mode; or, if it asks for the connection, what it sends on one."""
    return _online(server, _upgrade(body)) if "get_bind" in body else offline_sql(body)


def _upgrade(body: str) -> Any:
    space: dict[str, Any] = {}
    exec(compile(alembic_file(body), "0002.py", "exec"), space)  # the bench's own data
    return space["upgrade"]


def offline_sql(body: str) -> list[str]:
    """What upgrade() writes in Alembic's offline mode, BEGIN and COMMIT too."""
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql",
        opts={"as_sql": True, "literal_binds": True, "output_buffer": written, "transactional_ddl": True},
    )
    with Operations.context(context), context.begin_transaction():
        _upgrade(body)()
    return [one.strip() for one in pglast.split(written.getvalue())]


def _online(server: Server, upgrade: Any) -> list[str]:
    sent: list[str] = []
    url = f"postgresql+psycopg://{OWNER}:{PASSWORD}@127.0.0.1:{server.port}/small"
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)

    @sqlalchemy.event.listens_for(engine, "before_cursor_execute")
    def _sent(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        sent.append(statement.strip())

    with engine.connect() as connection:
        context = MigrationContext.configure(connection=connection)
        # What PostgreSQL refuses is refused again when the case is tried.
        with Operations.context(context), contextlib.suppress(sqlalchemy.exc.SQLAlchemyError):
            upgrade()
        connection.rollback()
    changes = [one for one in sent if not one.upper().startswith(("SELECT", "SHOW"))]
    return ["BEGIN", *changes, "COMMIT"]


def django_sql(server: Server, text: str, database: str = "small") -> list[str]:
    """What Django's schema editor makes of a migration of the shop: as sqlmigrate prints it."""
    _setup(server, database)
    from django.db import connection  # type: ignore[import-untyped]
    from django.db.migrations.state import ProjectState  # type: ignore[import-untyped]

    state = ProjectState()
    if text != initial():
        state = _migration(initial(), "0001_initial").mutate_state(state)
    migration = _migration(text, "0002_case")
    with connection.schema_editor(collect_sql=True, atomic=migration.atomic) as editor:
        migration.apply(state, editor, collect_sql=True)
    found = [one.strip() for one in pglast.split("\n".join(editor.collected_sql))]
    return ["BEGIN", *found, "COMMIT"] if migration.atomic else found


def _migration(text: str, name: str) -> Any:
    space: dict[str, Any] = {"__name__": f"shop.migrations.{name}"}
    exec(compile(text, f"{name}.py", "exec"), space)  # the bench's own data
    return space["Migration"](name, "shop")


def _setup(server: Server, database: str) -> None:
    """Django in this process, on that database."""
    import django  # type: ignore[import-untyped]
    from django.conf import settings  # type: ignore[import-untyped]
    from django.db import connections  # type: ignore[import-untyped]

    if not settings.configured:
        address = {"HOST": "127.0.0.1", "PORT": server.port, "USER": OWNER, "PASSWORD": PASSWORD}
        settings.configure(
            DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **address}},
            DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        )
        django.setup()
        for name in ("shop", "shop.fields"):
            sys.modules[name] = types.ModuleType(name)
        sys.modules["shop"].fields = sys.modules["shop.fields"]  # type: ignore[attr-defined]
        exec(compile(_data("django_fields.txt"), "fields.py", "exec"), sys.modules["shop.fields"].__dict__)
    connections["default"].settings_dict |= {"PORT": server.port, "NAME": database}


def close() -> None:
    """Close Django's connection, since a template must have no users when it is copied."""
    from django.db import connections  # type: ignore[import-untyped]

    connections.close_all()


def django_tables(server: Server) -> str:
    """SQL that makes the shop's tables as Django does, with rows, for databases.prepare."""
    made = [one for one in django_sql(server, initial(), "postgres") if one not in ("BEGIN", "COMMIT")]
    close()
    return ";\n".join([*made, _data("django_rows.sql")])
