# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Where Alembic's revision files are, as alembic.ini says."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration.alembic import Alembic
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

INSTALLED = ".venv/lib/python3.11/site-packages/shop/db/versions/postgresql"
WHEEL = "wheels/shop-1.0-py3-none-any.whl"


def staged(folder: Path, ini: str, files: dict[str, str]) -> Path:
    """A release; files: path → revision. A path behind a wheel goes into the wheel."""
    (folder / "alembic.ini").write_text(f"[alembic]\nscript_location = migrations\n{ini}\n")
    for name, revision in files.items():
        text = f'revision = "{revision}"\ndown_revision = None\n'
        wheel, mark, inside = name.partition(".whl/")
        file = folder / (f"{wheel}.whl" if mark else name)
        file.parent.mkdir(parents=True, exist_ok=True)
        if mark:
            with zipfile.ZipFile(file, "a") as opened:
                opened.writestr(inside, text)
        else:
            file.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("ini", "files"),
    [
        ("", {"migrations/versions/1.py": "a"}),
        ("version_locations = a/one, b", {"a/one/1.py": "a", "b/2.py": "b"}),
        ("version_locations = a/one b", {"a/one/1.py": "a", "b/2.py": "b"}),
        ("version_locations = a one:b\nversion_path_separator = :", {"a one/1.py": "a", "b/2.py": "b"}),
        ("path_separator = os\nversion_locations = a:b", {"a/1.py": "a", "b/2.py": "b"}),
        ("path_separator = newline\nversion_locations =\n  a\n  b", {"a/1.py": "a", "b/2.py": "b"}),
        ("version_locations = %(here)s/a", {"a/1.py": "a"}),
        ("version_locations = shop.db:versions:postgresql", {f"{INSTALLED}/1.py": "a"}),
        ("version_locations = shop:db/versions/postgresql", {"shop/db/versions/postgresql/1.py": "a"}),
        # Before the release's environment is made.
        ("version_locations = shop:db:versions", {f"{WHEEL}/shop/db/versions/1.py": "a"}),
        # A name with a percent sign in it, and a value that configparser would take for a reference.
        ("file_template = %%(rev)s_%%(slug)s\nversion_locations = a", {"a/1.py": "a", "migrations/versions/2.py": "c"}),
    ],
)
def test_the_revisions_are_where_alembic_looks_for_them(tmp_path: Path, ini: str, files: dict[str, str]) -> None:
    found = Alembic(str(staged(tmp_path, ini, files)), "migrations").revisions
    assert {one.file: name for name, one in found.items()} == {
        file: name for file, name in files.items() if name != "c"
    }


@pytest.mark.parametrize(
    ("ini", "complaint"),
    [
        ("", "there is no folder .*/migrations/versions; write as path"),
        ("version_locations = gone", r"version_locations in .*/alembic\.ini: got 'gone', which is no folder of the"),
        ("version_locations = shop:gone", "got 'shop:gone', which is no folder"),
        ("version_locations = a\nrecursive_version_locations = true", "got true, expected false; write each folder in"),
        ("[alembic]", r"alembic\.ini cannot be read: .*section 'alembic' already exists"),
    ],
)
def test_a_place_that_cannot_be_read_is_told(tmp_path: Path, ini: str, complaint: str) -> None:
    with pytest.raises(DatabaseError, match=complaint):
        Alembic(str(staged(tmp_path, ini, {"a/1.py": "a"})), "migrations")
