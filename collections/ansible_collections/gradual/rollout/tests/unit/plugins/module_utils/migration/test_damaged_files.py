# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Files of a release that cannot be read: one error with the file's name, whichever tool they are for; and files that
only look odd."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration import adapters, phases
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

FILES = {
    "alembic": {"db/versions/0001.py": b"revision = '0001'\ndown_revision = None\nphase = 'expand'\n"},
    "django": {
        "db/manage.py": b"os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'settings')\n",
        "db/settings.py": b"INSTALLED_APPS = ['shop']\n",
        "db/shop/__init__.py": b"",
        "db/shop/migrations/__init__.py": b"",
        "db/shop/migrations/0001_initial.py": b"class Migration(migrations.Migration):\n    gradual_phase = 'expand'\n",
    },
    "sql": {"db/0001_t.sql": b"-- gradual: phase=expand\nSELECT 1;\n"},
    "sqitch": {
        "db/sqitch.plan": b"%project=shop\n\none 2026-11-01T12:00:00Z A Person <a@example.org> # note\n",
        "db/deploy/one.sql": b"-- gradual: phase=expand\nBEGIN;\nSELECT 1;\nCOMMIT;\n",
    },
}
DEEP = b"x = " + b"(" * 250 + b"1" + b")" * 250 + b"\n"
LONG = b"x = " + b" + ".join([b"'a'"] * 5000) + b"\n"
LESS_LONG = b"x = " + b" + ".join([b"'a'"] * 900) + b"\n"
NOT_SQL = r"is not UTF-8: byte \d+ is 0x|has a null byte"
UTF_16 = "SELECT 1;".encode("utf-16")


def read(place: Path, tool: str, changed: dict[str, bytes]) -> str:
    """The phase of the only revision of a release."""
    for name, content in {**FILES[tool], **changed}.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    pending = adapters.of(tool, str(place), "db").pending([], "head")
    phases.refuse_impossible(pending)
    return pending[0].phase


NOT_PYTHON = {
    "brackets": DEEP, "a sum": LONG, "a null byte": b"x = '\0'\n", "not UTF-8": b"x = '\xff'\n",
    "an unknown encoding": b"# coding: none-such\n", "syntax": b"def (", "UTF-16": UTF_16,
}  # fmt: skip


@pytest.mark.parametrize("content", NOT_PYTHON.values(), ids=list(NOT_PYTHON))
@pytest.mark.parametrize(
    ("tool", "file"),
    [("alembic", "0001.py"), ("django", "0001_initial.py"), ("django", "settings.py"), ("django", "apps.py")],
)
def test_a_python_file_that_cannot_be_read_is_named(tmp_path: Path, tool: str, file: str, content: bytes) -> None:
    path = next((name for name in FILES[tool] if name.endswith(file)), f"db/shop/{file}")
    with pytest.raises(DatabaseError, match=rf"{file} (is not Python|has an expression that is nested too deeply)"):
        read(tmp_path, tool, {path: content})


def test_what_is_deep_but_can_be_run_is_named_too(tmp_path: Path) -> None:
    for tool in ("alembic", "django"):
        name = next(name for name in FILES[tool] if "0001" in name)
        with pytest.raises(DatabaseError, match=r"0001.*\.py has an expression that is nested too deeply"):
            read(tmp_path / tool, tool, {name: FILES[tool][name] + LESS_LONG})


@pytest.mark.parametrize(
    "content", [b"SELECT '\xe9';", UTF_16, "SELECT 1;".encode("utf-16-le"), b"SELECT 1;\0SELECT 2;\n"]
)
@pytest.mark.parametrize(
    ("tool", "file"), [("sql", "0001_t.sql"), ("sqitch", "deploy/one.sql"), ("sqitch", "sqitch.plan")]
)
def test_an_sql_file_that_psql_would_not_read_is_named(tmp_path: Path, tool: str, file: str, content: bytes) -> None:
    with pytest.raises(DatabaseError, match=rf"{file}(, line \d,)? ({NOT_SQL})"):
        read(tmp_path, tool, {f"db/{file}": content})


@pytest.mark.parametrize("tool", FILES)
def test_a_byte_order_mark_is_no_text(tmp_path: Path, tool: str) -> None:
    marked = {name: b"\xef\xbb\xbf" + content for name, content in FILES[tool].items() if content}
    assert read(tmp_path, tool, marked) == "expand"


def test_a_file_of_another_encoding_that_it_names_is_read(tmp_path: Path) -> None:
    for tool in ("alembic", "django"):
        name = next(name for name in FILES[tool] if "0001" in name)
        changed = b"# coding: latin-1\n" + FILES[tool][name] + b"note = '\xe9'\n"
        assert read(tmp_path / tool, tool, {name: changed}) == "expand"


@pytest.mark.parametrize("tool", ["alembic", "sql", "sqitch"])
def test_a_link_to_nowhere_is_named(tmp_path: Path, tool: str) -> None:
    name = {"alembic": "db/versions/0002.py", "sql": "db/0002_u.sql", "sqitch": "db/deploy/one.sql"}[tool]
    read(tmp_path, tool, {})
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).symlink_to("nowhere")
    with pytest.raises(DatabaseError, match=rf"{name} cannot be read: No such file"):
        adapters.of(tool, str(tmp_path), "db")


def wheel(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("shop/__init__.py", "")
        archive.writestr("shop/migrations/__init__.py", "")
        archive.writestr(name, content)
    return stream.getvalue()


def patched(whole: bytes, mark: bytes, offset: int, value: bytes) -> bytes:
    """With other bytes at `offset` behind the last `mark`."""
    place = whole.rindex(mark) + offset
    return whole[:place] + value + whole[place + len(value) :]


GOOD = wheel("shop/migrations/0001_initial.py", FILES["django"]["db/shop/migrations/0001_initial.py"] * 50)
HEAD, CENTRAL = b"PK\3\4", b"PK\1\2"


# In the last five, what a file holds is damaged, the table is not.
DAMAGED = {
    "empty": b"",
    "no zip": b"no zip at all",
    "cut": GOOD[:-30],
    "with a hole": GOOD[:200] + GOOD[210:],
    "wrong bytes": patched(GOOD, HEAD, 70, b"\xff" * 8),
    "another compression": patched(GOOD, CENTRAL, 10, b"\x63\0"),
    "a password": patched(GOOD, CENTRAL, 8, b"\1\0"),
    "another checksum": patched(GOOD, CENTRAL, 16, b"\0\0\0\0"),
    "another head": patched(GOOD, HEAD, 0, b"XXXX"),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=list(DAMAGED))
def test_a_damaged_wheel_is_named(tmp_path: Path, content: bytes) -> None:
    django = {name: text for name, text in FILES["django"].items() if "shop" not in name}
    for name, text in {**django, "wheels/shop-1.0-py3-none-any.whl": content}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(text)
    with pytest.raises(DatabaseError, match=r"shop-1.0-py3-none-any.whl.* cannot be read.*; build the artifact again"):
        adapters.of("django", str(tmp_path), "db")
