"""What the files of Django, sqitch and plain SQL say, read as text."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration import (
    adapters,
    failure_message,
    sql_text,
)
from ansible_collections.gradual.rollout.plugins.module_utils.migration.django import Django
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Revision
from ansible_collections.gradual.rollout.plugins.module_utils.migration.sqitch import Sqitch
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

EXPAND = "-- gradual: phase=expand\n"


def staged(folder: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(folder)


ATOMIC = "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC"
NESTED = f"{ATOMIC} SELECT 'END'; SELECT case case 1 when 2 then 3 end when 3 then (case 4 when 5 then 6 end) end; END"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("SELECT 1; SELECT 2", ["SELECT 1", "SELECT 2"]),
        ("-- a; b\nSELECT 1; /* c; /* d; */ e; */ SELECT 2;", ["SELECT 1", "SELECT 2"]),
        ("SELECT ';--', \";\", E'\\';', 'it''s;'", ["SELECT ';--', \";\", E'\\';', 'it''s;'"]),
        (
            "DO $body$ BEGIN PERFORM 1; COMMIT; END $body$; SELECT $$;$$",
            ["DO $body$ BEGIN PERFORM 1; COMMIT; END $body$", "SELECT $$;$$"],
        ),
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3",
            ["CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; SELECT 2; END", "SELECT 3"],
        ),
        # What psql counts as open: parentheses, and CASE ... END in a body.
        (f"{ATOMIC} SELECT CASE WHEN true THEN 1 END; SELECT 2; END; SELECT 3",
         [f"{ATOMIC} SELECT CASE WHEN true THEN 1 END; SELECT 2; END", "SELECT 3"]),
        (f"{ATOMIC} SELECT 1 AS weekend; SELECT 2; END; SELECT 3",
         [f"{ATOMIC} SELECT 1 AS weekend; SELECT 2; END", "SELECT 3"]),
        (f"{NESTED}; SELECT 3", [NESTED, "SELECT 3"]),
        ("CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT 1; END; SELECT 3",
         ["CREATE OR REPLACE PROCEDURE p() BEGIN ATOMIC SELECT 1; END", "SELECT 3"]),
        ("CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3",
         ["CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)", "SELECT 3"]),
        ("SELECT 'begin atomic'; SELECT 3", ["SELECT 'begin atomic'", "SELECT 3"]),
        # Names that hold a dollar, and a type before a text that is no E'...'.
        ("SELECT a$b$ FROM t; SELECT b$b$ FROM t", ["SELECT a$b$ FROM t", "SELECT b$b$ FROM t"]),
        ("SELECT date'2026-01-01\\'; SELECT $é$;$é$", ["SELECT date'2026-01-01\\'", "SELECT $é$;$é$"]),
        # A carriage return alone ends a comment too.
        ("-- a\rDROP TABLE t;\n-- b\r\nSELECT 2;", ["DROP TABLE t", "SELECT 2"]),
        (" ;; \n", []),
    ],
)  # fmt: skip
def test_statements_end_where_postgresql_sees_their_end(text: str, found: list[str]) -> None:
    assert sql_text.statements(text, "some.sql") == found


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SELECT 1;\n\\connect other", "line 2, has a backslash command"),
        ("\\set ON_ERROR_STOP off", "backslash command"),
        ("SELECT 'x", "not closed"),
        ("SELECT $$x", "not closed"),
        ("/* x", "comment that is not closed"),
    ],
)
def test_what_would_take_psql_out_of_hand_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(DatabaseError, match=complaint):
        sql_text.statements(text, "some.sql")


PLAN = """%syntax-version=1.0.0
%project=shop

# A comment
orders 2026-11-01T12:00:00Z A Person <a@example.org> # What it holds
view [orders] 2026-11-02T12:00:00Z A Person <a@example.org>
@v1 2026-11-03T12:00:00Z A Person <a@example.org> # First

view [view@v1] 2026-11-04T12:00:00Z A Person <a@example.org>
"""


def test_a_plan_of_sqitch_with_a_reworked_change(tmp_path: Path) -> None:
    scripts = {
        f"db/deploy/{name}.sql": f"{EXPAND}BEGIN;\nSELECT 1;\nCOMMIT;\n" for name in ("orders", "view@v1", "view")
    }
    adapter = Sqitch(staged(tmp_path, {"db/sqitch.plan": PLAN, **scripts}), "db")
    assert [(one.revision, one.parents, one.transactional) for one in adapter.pending([], "head")] == [
        ("orders", (), True),
        ("view@v1", ("orders",), True),
        ("view", ("view@v1",), True),
    ]
    assert adapter.revisions["orders"].description == "What it holds"
    assert adapter.apply(adapter.revisions["view@v1"]).argv[:6] == (
        "sqitch",
        "--no-pager",
        "deploy",
        "db:pg:",
        "--to-change",
        "view@v1",
    )
    assert adapter.revert(adapter.revisions["view"]).argv[3:6] == ("db:pg:", "--to-change", "view@v1")


@pytest.mark.parametrize(
    ("plan", "complaint"),
    [
        (None, "the plan .* cannot be read"),
        ("orders 2026 A <a@b>\n", "no line %project="),
        ("%project=shop\n@v1 2026 A <a@b>\n", "before any change"),
        ("%project=shop\na 2026 A <a@b>\na 2026 A <a@b>\n", "reworked without a tag"),
        ("%project=shop\na 2026 A <a@b>\n", "deploy script of a"),
    ],
)
def test_a_plan_that_cannot_be_meant_is_refused(tmp_path: Path, plan: str | None, complaint: str) -> None:
    with pytest.raises(DatabaseError, match=complaint):
        Sqitch(staged(tmp_path, {"db/sqitch.plan": plan} if plan else {}), "db")


def migration(*dependencies: str, body: str = "", phase: str = '    gradual_phase = "expand"\n') -> str:
    return (
        "from django.conf import settings\nfrom django.db import migrations\n\n\nclass"
        f" Migration(migrations.Migration):\n{phase}    dependencies = [{', '.join(dependencies)}]\n{body}   "
        " operations = []\n\n\nraise SystemExit('nothing of it is run')\n"
    )


def project(**more: str) -> dict[str, str]:
    files = {
        "manage.py": "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site_of.settings')\n",
        "site_of/__init__.py": "",
        "site_of/base.py": "BASE = ['shop.apps.Shop']\nINSTALLED_APPS = [*BASE]\n",
        "site_of/settings.py": (
            "import os\nfrom .base import *\nINSTALLED_APPS += ['vendor.auth', 'nothing']\nSECRET_KEY ="
            " os.environ['KEY']\nraise SystemExit('nothing of it is run')\n"
        ),
        "shop/__init__.py": "",
        "shop/apps.py": "class Shop(AppConfig):\n    name = 'shop'\n    label = 'store'\n",
        "shop/migrations/__init__.py": "",
        "nothing/__init__.py": "",
        "shop/migrations/0001_initial.py": migration("migrations.swappable_dependency(settings.AUTH_USER_MODEL)"),
        "shop/migrations/0002_note.py": migration("('store', '0001_initial')", "('auth', '__latest__')"),
        ".venv/lib/python3.11/site-packages/vendor/__init__.py": "",
        ".venv/lib/python3.11/site-packages/vendor/auth/__init__.py": "",
        ".venv/lib/python3.11/site-packages/vendor/auth/migrations/__init__.py": "",
        ".venv/lib/python3.11/site-packages/vendor/auth/migrations/0001_initial.py": migration(phase=""),
        ".venv/lib/python3.11/site-packages/vendor/auth/migrations/0002_more.py": migration(
            "('auth', '0001_initial')", phase=""
        ),
    }
    return {**files, **{key.replace("__", "/") + ".py": text for key, text in more.items()}}


OTHERS = {"app": "auth", "phase": "expand", "reason": "only adds columns"}


def test_a_django_project_is_read_with_its_settings_and_the_apps_of_others(tmp_path: Path) -> None:
    adapter = adapters.of("django", staged(tmp_path, project()), ".", [OTHERS])
    assert [(one.revision, one.phase) for one in adapter.pending([], "head")] == [
        ("auth.0001_initial", "expand"),
        ("auth.0002_more", "expand"),
        ("store.0001_initial", "expand"),
        ("store.0002_note", "expand"),
    ]
    assert [
        one.revision for one in adapter.pending(["auth.0001_initial", "gone.0001_initial"], "store.0001_initial")
    ] == ["store.0001_initial"]
    assert adapter.apply(adapter.revisions["store.0002_note"]).argv[3:6] == ("migrate", "store", "0002_note")
    assert adapter.revert(adapter.revisions["store.0001_initial"]).argv[3:6] == ("migrate", "store", "zero")


@pytest.mark.parametrize(
    ("recorded", "pending"),
    [
        ([], ["store.0003_squashed", "store.0004_next"]),
        (["store.0001_initial"], ["store.0002_note", "store.0004_next"]),
        (["store.0001_initial", "store.0002_note"], ["store.0004_next"]),
        (["store.0003_squashed"], ["store.0004_next"]),
    ],
)
def test_a_squashed_migration_stands_for_those_that_it_replaces(
    tmp_path: Path, recorded: list[str], pending: list[str]
) -> None:
    adapter = Django(
        staged(
            tmp_path,
            project(
                shop__migrations__0003_squashed=migration(
                    body="    replaces = [('store', '0001_initial'), ('store', '0002_note')]\n"
                ),
                shop__migrations__0004_next=migration("('store', '0003_squashed')"),
            ),
        ),
        ".",
    )
    vendor = ["auth.0001_initial", "auth.0002_more"]
    assert [one.revision for one in adapter.pending([*vendor, *recorded], "head")] == pending


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"shop__migrations__0002_note": migration("*made()")}, "computed by code"),
        (
            {"shop__migrations__0002_note": migration("('store', '0009_gone')")},
            "depends on revision 'store.0009_gone'",
        ),
        (
            {"shop__migrations__0002_note": migration(phase="    gradual_phase = 'expnad'\n")},
            "expected one of expand, data, contract",
        ),
        ({"site_of__settings": "INSTALLED_APPS = apps()\n"}, "INSTALLED_APPS in .*line 1, is computed by code"),
        ({"site_of__settings": "DEBUG = True\n"}, "cannot be read as text"),
        (
            {"shop__migrations__0002_note": migration("migrations.swappable_dependency(settings.OTHER)")},
            "the settings have no OTHER; write it in the settings",
        ),
        ({"manage": "print()\n"}, "names no settings"),
    ],
)
def test_a_project_that_cannot_be_read_as_text_is_refused(
    tmp_path: Path, change: dict[str, str], complaint: str
) -> None:
    with pytest.raises(DatabaseError, match=complaint):
        Django(staged(tmp_path, project(**change)), ".")


SOCIAL = """\
from django.conf import settings
from helper import setting_name
USER = getattr(settings, setting_name("USER"), None) or getattr(settings, "AUTH_USER_MODEL", None) or "x.X"
"""
NAMES = {
    "the user model, by another name": (
        SOCIAL, "migrations.swappable_dependency(USER)"),
    "a constant of the file": ("APP = 'auth'\n", "(APP, '0001_initial')"),
    "settings of an app": (
        "from helper import app_settings\n", "migrations.swappable_dependency(app_settings.USER_MODEL)"),
    "a condition": ("ON = True\n", "] + ([('auth', '__first__')] if ON else []) + ["),
    "a condition that nobody can tell": (
        "", "] + ([('auth', '__first__'), ('gone', '1')] if unknown() else []) + ["),
}  # fmt: skip
HELPER = """\
from django.conf import settings
PREFIX = "SOCIAL"
USER_MODEL = getattr(settings, "VENDOR_USER_MODEL", "auth.User")
DEFAULTS = {"USER_MODEL": USER_MODEL}


def joined(*names):
    return "_".join([name.upper() for name in names if name])


def setting_name(*names):
    \"\"\"With the prefix.\"\"\"
    return joined(*((PREFIX, *names)))


app_settings = Settings(DEFAULTS)
"""


@pytest.mark.parametrize("name", NAMES)
def test_a_dependency_by_a_setting_is_read_from_the_files(tmp_path: Path, name: str) -> None:
    before, dependency = NAMES[name]
    files = project(shop__migrations__0001_initial=before + migration(dependency), helper=HELPER)
    adapter = Django(staged(tmp_path, files), ".")
    assert adapter.revisions["store.0001_initial"].parents == ("auth.0001_initial",)


def test_a_setting_of_the_project_wins(tmp_path: Path) -> None:
    before, dependency = NAMES["settings of an app"]
    files = project(shop__migrations__0001_initial=before + migration(dependency), helper=HELPER)
    files["site_of/settings.py"] = "VENDOR_USER_MODEL = 'store.Person'\n" + files["site_of/settings.py"]
    assert Django(staged(tmp_path, files), ".").revisions["store.0001_initial"].parents == ()


@pytest.mark.parametrize(
    ("config", "label"),
    [
        ("from vendor.auth.apps import Base\n\n\nclass Shop(Base):\n    verbose_name = 'x'\n", "auth"),
        ("from vendor.auth.apps import Base\n\n\nclass Shop(Base):\n    name = 'shop'\n", "shop"),
        ("class Base:\n    name = 'vendor.auth'\n\n\nclass Shop(Base):\n    label = 'people'\n", "people"),
    ],
)
def test_an_app_config_inherits_its_name(tmp_path: Path, config: str, label: str) -> None:
    files = project(shop__apps=config)
    files["site_of/settings.py"] = "INSTALLED_APPS = ['shop.apps.Shop']\n"
    files["shop/migrations/0001_initial.py"] = files["shop/migrations/0002_note.py"] = migration()
    vendor = ".venv/lib/python3.11/site-packages/vendor/auth"
    files[f"{vendor}/apps.py"] = "class Base(AppConfig):\n    name = 'vendor.auth'\n"
    files[f"{vendor}/migrations/0002_more.py"] = migration()
    found = Django(staged(tmp_path, files), ".").revisions
    assert {name.partition(".")[0] for name in found} == {label}
    assert len(found) == 2


@pytest.mark.parametrize("settings", [
    "INSTALLED_APPS = ['gone']\n", "INSTALLED_APPS = ['gone.apps.Gone']\n",
    "INSTALLED_APPS = ['shop.apps.Shop']\nMIGRATION_MODULES = {'store': 'no.where'}\n",
])  # fmt: skip
def test_an_app_whose_migrations_are_not_found_is_never_passed_over(tmp_path: Path, settings: str) -> None:
    files = project()
    files["site_of/settings.py"] = settings
    adapter = Django(staged(tmp_path, files), ".")
    (found,) = adapter.pending([], "head")
    assert found.revision.endswith(".not_found")
    with pytest.raises(DatabaseError, match=r"INSTALLED_APPS|MIGRATION_MODULES"):
        adapter.recorded(None)  # type: ignore[arg-type]


BASE = "import os\nDEBUG = False\nINSTALLED_APPS = ['shop.apps.Shop']\n"


@pytest.mark.parametrize(
    ("settings", "apps"),
    [
        ("if DEBUG:\n    INSTALLED_APPS += ['vendor.auth']\n", ["store"]),
        ("if not DEBUG:\n    INSTALLED_APPS += ['vendor.auth']\n", ["auth", "store"]),
        ("INSTALLED_APPS.insert(0, 'vendor.auth')\n", ["auth", "store"]),
        # Without migrations, or not in the release at all.
        ("if os.environ['D']:\n    INSTALLED_APPS += ['nothing', 'debug_toolbar']\n", ["store"]),
        ("try:\n    from .local import *\nexcept ImportError:\n    pass\n", ["store"]),
        ("try:\n    from .more import *\nexcept ImportError:\n    pass\n", ["auth", "store"]),
        ("if os.environ['D']:\n    INSTALLED_APPS.append('vendor.auth')\n", "auth"),
        ("try:\n    import a\n    INSTALLED_APPS += ['vendor.auth']\nexcept ImportError:\n    pass\n", "auth"),
    ],
)
def test_an_app_under_a_condition_is_decided_or_told(tmp_path: Path, settings: str, apps: list[str] | str) -> None:
    """apps: those whose migrations are read, or the one that nobody can tell."""
    files = project(
        site_of__settings=BASE + settings, site_of__more="INSTALLED_APPS = ['shop.apps.Shop', 'vendor.auth']\n"
    )
    files["shop/migrations/0002_note.py"] = migration("('store', '0001_initial')")
    adapter = Django(staged(tmp_path, files), ".")
    revisions = [one.revision for one in adapter.pending([], "head")]
    if isinstance(apps, str):
        assert f"{apps}.not_found" in revisions
        with pytest.raises(
            DatabaseError, match=r"only under a condition \(.*settings.py, line \d+\), which Gradual does not"
        ):
            adapter.recorded(None)  # type: ignore[arg-type]
    else:
        assert sorted({one.partition(".")[0] for one in revisions}) == apps


def test_apps_of_others_are_read_from_wheels(tmp_path: Path) -> None:
    files = project()
    packages = ".venv/lib/python3.11/site-packages/"
    plain = {name: text for name, text in files.items() if not name.startswith(packages)}
    folder = staged(tmp_path, plain)
    (tmp_path / "wheels").mkdir()
    with zipfile.ZipFile(tmp_path / "wheels/vendor-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            if name.startswith(packages):
                wheel.writestr(name[len(packages) :], text)
    adapter = Django(folder, ".")
    assert [one.revision for one in adapter.pending([], "head")][:2] == ["auth.0001_initial", "auth.0002_more"]
    file = "wheels/vendor-1.0-py3-none-any.whl/vendor/auth/migrations/0001_initial.py"
    assert adapter.revisions["auth.0001_initial"].file == file
    (tmp_path / "wheels/vendor-1.0-py3-none-any.whl").write_text("not a wheel")
    with pytest.raises(DatabaseError, match=r"vendor-1.0-py3-none-any.whl cannot be read as a wheel"):
        Django(folder, ".")


def test_an_unknown_tool_is_told() -> None:
    with pytest.raises(DatabaseError, match="expected one of alembic, django, sql, sqitch"):
        adapters.of("flyway", "/", ".")


@pytest.mark.parametrize(
    ("transactional", "unsure", "said"),
    [
        (True, False, "nothing of it is left"),
        (True, True, "may be applied without being recorded"),
        (False, False, "parts of it may be applied"),
    ],
)
def test_what_may_be_left_is_told_as_what_is_known(transactional: bool, unsure: bool, said: str) -> None:
    assert said in failure_message.remains(
        Revision("a", (), "expand", "", False, "a.sql", transactional=transactional), unsure
    )


NOW = {"system_identifier": "1", "timeline": 1, "standby": False}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"timeline": 2}, "there was a failover: the server that came back is on timeline 2, this run began on 1"),
        ({"standby": True}, "is a standby: there was a failover"),
        ({"system_identifier": "2"}, "is of another cluster"),
    ],
)
def test_a_server_that_is_another_one_is_not_gone_on_with(change: dict[str, object], said: str) -> None:
    failure_message.same_server(NOW, dict(NOW), "0002")
    with pytest.raises(DatabaseError, match=f"{said}.*is at 0002.*take a new backup"):
        failure_message.same_server(NOW, {**NOW, **change}, "0002")
