# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""What the files of a Django project say, read as text: its settings, its apps, their migrations."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration import adapters
from ansible_collections.gradual.rollout.plugins.module_utils.migration.django import Django
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.tests.unit.sample_django import migration, project, staged

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
    ("recorded", "pending"),
    [
        # Django leaves the rows of the migrations that are gone, before the one of the squashed one.
        (["store.0001_initial", "store.0002_note", "store.0003_squashed"], ["store.0004_next"]),
        (["store.0001_initial", "store.0002_note", "store.0003_squashed", "store.0004_next"], []),
        (["store.0003_squashed"], ["store.0004_next"]),
        # A newer database: nothing that is here was recorded behind it.
        (["store.0003_squashed", "store.0004_next", "store.0005_newer"], None),
        (["store.0001_initial", "store.0002_note"], None),
    ],
)
def test_a_squashed_migration_without_replaces_keeps_its_place(
    tmp_path: Path, recorded: list[str], pending: list[str] | None
) -> None:
    files = project(
        shop__migrations__0003_squashed=migration(), shop__migrations__0004_next=migration("('store', '0003_squashed')")
    )
    del files["shop/migrations/0001_initial.py"], files["shop/migrations/0002_note.py"]
    adapter = Django(staged(tmp_path, files), ".")
    given = ["auth.0001_initial", "auth.0002_more", *recorded]
    if pending is None:
        with pytest.raises(DatabaseError, match="older release cannot migrate a newer database"):
            adapter.pending(given, "head")
    else:
        assert [one.revision for one in adapter.pending(given, "head")] == pending


@pytest.mark.parametrize(
    ("recorded", "pending"),
    [
        ([], ["store.0003_squashed", "store.0004_next"]),
        (["store.0001_initial", "store.0002_note"], ["store.0004_next"]),
    ],
)
def test_a_squashed_migration_stands_for_files_that_are_gone(
    tmp_path: Path, recorded: list[str], pending: list[str]
) -> None:
    """As packages are released: `replaces` is still there, and so are dependencies on what is gone."""
    files = project(
        shop__migrations__0003_squashed=migration(
            body="    replaces = [('store', '0001_initial'), ('store', '0002_note')]\n"
        ),
        shop__migrations__0004_next=migration("('store', '0002_note')"),
    )
    del files["shop/migrations/0001_initial.py"], files["shop/migrations/0002_note.py"]
    adapter = Django(staged(tmp_path, files), ".")
    vendor = ["auth.0001_initial", "auth.0002_more"]
    assert [one.revision for one in adapter.pending([*vendor, *recorded], "head")] == pending


def test_a_squashed_migration_may_replace_another_one(tmp_path: Path) -> None:
    files = project(
        shop__migrations__0003_squashed=migration(
            body="    replaces = [('store', '0001_initial'), ('store', '0002_note')]\n"
        ),
        shop__migrations__0004_next=migration("('store', '0003_squashed')"),
        shop__migrations__0005_again=migration(
            body="    replaces = [('store', '0003_squashed'), ('store', '0004_next')]\n"
        ),
    )
    adapter = Django(staged(tmp_path, files), ".")
    vendor = ["auth.0001_initial", "auth.0002_more"]
    all_of_them = [*vendor, "store.0001_initial", "store.0002_note", "store.0004_next"]
    assert adapter.pending(all_of_them, "head") == []
    assert {"store.0003_squashed", "store.0005_again"} <= adapter.current(all_of_them)


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


BASE = "import os\nDEBUG = False\nINSTALLED_APPS = ['shop.apps.Shop']\nLOCAL_APPS = []\n"
ADD = "INSTALLED_APPS += LOCAL_APPS\n"
UNKNOWN = "if os.environ['D']:\n    "
MORE = "['vendor.auth']\n"
DECIDED = {
    "a condition that is false": (f"if DEBUG:\n    INSTALLED_APPS += {MORE}", ["store"]),
    "a condition that is true": (f"if not DEBUG:\n    INSTALLED_APPS += {MORE}", ["auth", "store"]),
    "a comparison": (f"if DEBUG is False and 'a' not in LOCAL_APPS:\n    INSTALLED_APPS += {MORE}", ["auth", "store"]),
    "insert": ("INSTALLED_APPS.insert(0, 'vendor.auth')\n", ["auth", "store"]),
    "remove": (f"INSTALLED_APPS += {MORE}INSTALLED_APPS.remove('vendor.auth')\n", ["store"]),
    "the same list by another name": (f"APPS = INSTALLED_APPS\nAPPS += {MORE}", ["auth", "store"]),
    "a loop over texts": (f"for app in {MORE[:-1]}:\n    INSTALLED_APPS.append(app)\n", ["auth", "store"]),
    "a loop that passes over one": (
        "for app in ['x', 'vendor.auth']:\n    if app == 'x':\n        continue\n    INSTALLED_APPS.append(app)\n",
        ["auth", "store"]),
    "several targets": (f"A, B = ['nothing'], {MORE}INSTALLED_APPS = INSTALLED_APPS + A + B\n", ["auth", "store"]),
    "without migrations": (f"{UNKNOWN}INSTALLED_APPS += ['nothing', 'debug_toolbar']\n", ["store"]),
    "a file that is not there": ("try:\n    from .local import *\nexcept ImportError:\n    pass\n", ["store"]),
    "a file that is not there, suppressed": (
        "import contextlib\nwith contextlib.suppress(ImportError):\n    from .local import *\n", ["store"]),
    "a file instead of another": (
        "try:\n    from .local import *\nexcept ImportError:\n    from .more import *\n", ["auth", "store"]),
    "a file that is there": ("try:\n    from .more import *\nexcept ImportError:\n    pass\n", ["auth", "store"]),
    "the settings of another file": ("from . import more\nINSTALLED_APPS = more.INSTALLED_APPS\n", ["auth", "store"]),
    "a list of another file": ("from .more import LATER\nINSTALLED_APPS += LATER\n", ["auth", "store"]),
    "a list of another file, changed here": (
        f"from . import base\nbase.INSTALLED_APPS += {MORE}from .base import *\n", ["auth", "store"]),
    "both branches": (f"{UNKNOWN}LOCAL_APPS = {MORE}else:\n    LOCAL_APPS = [*LOCAL_APPS, 'vendor.auth']\n{ADD}",
                      ["auth", "store"]),
    "a branch that ends": (f"{UNKNOWN}raise SystemExit\nelse:\n    LOCAL_APPS += {MORE}{ADD}", ["auth", "store"]),
    "a name of the namespace": (f"globals()['LOCAL_APPS'] = {MORE}{ADD}", ["auth", "store"]),
}  # fmt: skip
PERHAPS = {
    "append": f"{UNKNOWN}INSTALLED_APPS.append('vendor.auth')\n",
    "an import": f"try:\n    import a\n    INSTALLED_APPS += {MORE}except ImportError:\n    pass\n",
    "another variable": f"{UNKNOWN}LOCAL_APPS += {MORE}{ADD}",
    "another variable, extend": f"{UNKNOWN}LOCAL_APPS.extend({MORE[:-1]})\n{ADD}",
    "the same list by another name": f"APPS = INSTALLED_APPS\n{UNKNOWN}APPS += {MORE}",
    "a name that is made there": f"{UNKNOWN}EXTRA = {MORE}else:\n    EXTRA = []\nINSTALLED_APPS += EXTRA\n",
    "else": f"{UNKNOWN}pass\nelse:\n    LOCAL_APPS = {MORE}{ADD}",
    "a loop that passes over it": (
        f"for app in {MORE[:-1]}:\n    if app in os.environ:\n        continue\n    INSTALLED_APPS.append(app)\n"),
    "removed": f"INSTALLED_APPS += {MORE}{UNKNOWN}INSTALLED_APPS.remove('vendor.auth')\n",
    "replaced": f"LOCAL_APPS = {MORE}{UNKNOWN}LOCAL_APPS = []\n{ADD}",
    "a flag of try": (
        f"try:\n    import a\n    ON = True\nexcept OSError:\n    ON = False\nif ON:\n    LOCAL_APPS += {MORE}{ADD}"),
    "a flag of if": f"ON = False\n{UNKNOWN}ON = True\nif ON:\n    LOCAL_APPS += {MORE}{ADD}",
    "match": f"match os.environ['D']:\n    case 'x':\n        LOCAL_APPS += {MORE}{ADD}",
    "a condition in a condition": f"{UNKNOWN}if DEBUG is False:\n        LOCAL_APPS += {MORE}{ADD}",
    "suppress": f"with contextlib.suppress(ImportError):\n    import a\n    LOCAL_APPS += {MORE}{ADD}",
    "an expression": f"INSTALLED_APPS = INSTALLED_APPS + ({MORE[:-1]} if os.environ['D'] else [])\n",
    "a star": f"LOCAL_APPS = [*({MORE[:-1]} if os.environ['D'] else ())]\n{ADD}",
    "another file": f"{UNKNOWN}from .more import *\n",
    "another file's list": "from .perhaps import LATER\nINSTALLED_APPS += LATER\n",
    "another file's list by its name": "from . import perhaps\nINSTALLED_APPS += perhaps.LATER\n",
    "another file's list as": "import site_of.perhaps as it\nINSTALLED_APPS += it.LATER\n",
}  # fmt: skip
COMPUTED = {
    "a list of the environment": ("INSTALLED_APPS += os.environ['A'].split()\n", "INSTALLED_APPS in .*line 5"),
    "another variable": (f"LOCAL_APPS += apps()\n{ADD}", "LOCAL_APPS in .*line 5"),
    "a condition": (f"{UNKNOWN}LOCAL_APPS += apps()\n{ADD}", "LOCAL_APPS in .*line 6"),
    "a condition, appended": (f"{UNKNOWN}LOCAL_APPS.append(app())\n{ADD}", "LOCAL_APPS in .*line 6"),
    "a loop": (f"for app in apps():\n    LOCAL_APPS.append(app)\n{ADD}", "LOCAL_APPS in .*line 5"),
    "a loop while": (f"while apps():\n    LOCAL_APPS += {MORE}{ADD}", "LOCAL_APPS in .*line 5"),
    "a function": (f"add_apps(LOCAL_APPS)\n{ADD}", "LOCAL_APPS in .*line 5"),
    "a function of the file": (
        f"def add():\n    LOCAL_APPS.append('vendor.auth')\n\n\nadd()\n{ADD}", "LOCAL_APPS in .*line 9"),
    "a function of the file that is asked": (
        f"def add():\n    LOCAL_APPS.extend({MORE[:-1]})\n    return True\n\n\nON = add()\n{ADD}",
        "LOCAL_APPS in .*line 10"),
    "the namespace": ("django_heroku.settings(locals())\n", "INSTALLED_APPS in .*line 5"),
    "the namespace, updated": ("globals().update(more())\n", "INSTALLED_APPS in .*line 5"),
    "a file that is run": ("exec(open('local.py').read())\n", "INSTALLED_APPS in .*line 5"),
    "files that are included": ("include('components/*.py')\n", "INSTALLED_APPS in .*line 5"),
    "a file of the release that is not there": ("from .local import *\n", "INSTALLED_APPS in .*line 5"),
    "a slice": ("INSTALLED_APPS[1:1] = more()\n", "INSTALLED_APPS in .*line 5"),
    "the user model": (
        f"AUTH_USER_MODEL = 'a.A'\n{UNKNOWN}AUTH_USER_MODEL = 'b.B'\n", "AUTH_USER_MODEL in .*line 6"),
    "another file": ("from .computed import LATER\nINSTALLED_APPS += LATER\n", "LATER in .*computed.py, line 3"),
}  # fmt: skip
OF_OTHER_FILES = {
    "site_of/more.py": "INSTALLED_APPS = ['shop.apps.Shop', 'vendor.auth']\nLATER = []\nLATER += ['vendor.auth']\n",
    "site_of/perhaps.py": f"import os\nLATER = []\n{UNKNOWN}LATER += {MORE}",
    "site_of/computed.py": "import os\nLATER = []\nLATER += os.environ['A'].split()\n",
    "site_of/base.py": "INSTALLED_APPS = ['shop.apps.Shop']\n",
}  # fmt: skip


def with_settings(place: Path, settings: str) -> Django:
    files = {**project(site_of__settings=BASE + settings), **OF_OTHER_FILES}
    files["shop/migrations/0002_note.py"] = migration("('store', '0001_initial')")
    return Django(staged(place, files), ".")


@pytest.mark.parametrize("name", DECIDED)
def test_an_app_whose_condition_can_be_told_is_decided(tmp_path: Path, name: str) -> None:
    settings, apps = DECIDED[name]
    revisions = with_settings(tmp_path, settings).pending([], "head")
    assert sorted({one.revision.partition(".")[0] for one in revisions}) == apps


@pytest.mark.parametrize("name", PERHAPS)
def test_an_app_under_a_condition_that_nobody_can_tell_is_named(tmp_path: Path, name: str) -> None:
    adapter = with_settings(tmp_path, PERHAPS[name])
    assert "auth.not_found" in adapter.revisions
    with pytest.raises(
        DatabaseError,
        match=r"'vendor.auth' is in INSTALLED_APPS only under a condition \(.*, line \d+\), which Gradual",
    ):
        adapter.recorded(None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", COMPUTED)
def test_settings_that_are_computed_are_named(tmp_path: Path, name: str) -> None:
    settings, where = COMPUTED[name]
    with pytest.raises(
        DatabaseError, match=f"{where}, is computed by code, which Gradual does not run; write it as plain"
    ):
        with_settings(tmp_path, settings)


PLUGINS = "for one in metadata.entry_points(group='shop.plugin'):\n    INSTALLED_APPS.append(one.module)\n"
METADATA = "vendor-1.0.dist-info/entry_points.txt"
DECLARED = "[console_scripts]\nx = gone:main\n[shop.plugin]\nFirst = vendor.auth:Plugin [extra]\n"


def with_plugins(place: Path, settings: str, declared: str, wheels: bool) -> Django:
    """A release whose distribution vendor declares entry points, in its .venv or in a wheel."""
    files = {**project(site_of__settings="from importlib import metadata\n" + BASE + settings)}
    files["shop/migrations/0002_note.py"] = migration("('store', '0001_initial')")
    packages = ".venv/lib/python3.11/site-packages/"
    files[packages + METADATA] = declared
    if not wheels:
        return Django(staged(place, files), ".")
    staged(place, {name: text for name, text in files.items() if not name.startswith(packages)})
    with zipfile.ZipFile(place / "vendor-1.0-py3-none-any.whl", "w") as wheel:
        for name, text in files.items():
            if name.startswith(packages):
                wheel.writestr(name[len(packages) :], text)
    return Django(str(place), ".")


@pytest.mark.parametrize("wheels", [False, True])
@pytest.mark.parametrize(
    ("settings", "apps"),
    [
        (PLUGINS, ["auth", "store"]),
        ("INSTALLED_APPS += [one.module for one in metadata.entry_points(group='shop.plugin')]\n", ["auth", "store"]),
        (PLUGINS.replace("shop.plugin", "other"), ["store"]),
        (PLUGINS.replace("(group", "(name='Second', group"), ["store"]),
        (
            f"from pkg_resources import iter_entry_points\n{PLUGINS.replace('metadata.', 'iter_')}",
            ["auth", "store"],
        ),
    ],
)
def test_apps_that_distributions_declare_as_entry_points(
    tmp_path: Path, settings: str, apps: list[str], wheels: bool
) -> None:
    revisions = with_plugins(tmp_path, settings, DECLARED, wheels).pending([], "head")
    assert sorted({one.revision.partition(".")[0] for one in revisions}) == apps


@pytest.mark.parametrize("wheels", [False, True])
def test_an_entry_point_that_is_there_only_perhaps_is_named(tmp_path: Path, wheels: bool) -> None:
    skipped = PLUGINS.replace("    INST", "    if one.module in os.environ['OFF']:\n        continue\n    INST")
    assert "auth.not_found" in with_plugins(tmp_path, skipped, DECLARED, wheels).revisions


@pytest.mark.parametrize(
    ("settings", "declared"), [(PLUGINS.replace("one.module", "one.load().app"), DECLARED), (PLUGINS, "nothing\n")]
)
def test_entry_points_that_cannot_be_read(tmp_path: Path, settings: str, declared: str) -> None:
    with pytest.raises(DatabaseError, match=r"INSTALLED_APPS in .* is computed by code"):
        with_plugins(tmp_path, settings, declared, wheels=False)


def test_without_distributions_nobody_knows_the_entry_points(tmp_path: Path) -> None:
    files = {**project(site_of__settings="from importlib import metadata\n" + BASE + PLUGINS)}
    with pytest.raises(DatabaseError, match=r"INSTALLED_APPS in .* is computed by code"):
        Django(staged(tmp_path, files), ".")


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
