# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Python files of a release, in folders or in the wheels that its environment will be made from.

A path that goes on behind a wheel (`wheels/app-1.0-py3-none-any.whl/app/models.py`) names a file in it.
"""

from __future__ import annotations

import ast
import functools
import glob
import os
import zipfile

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError


def libraries(directory: str) -> list[str]:
    """Where the release keeps the packages that it needs: the folder of its .venv, or its wheels."""
    return sorted(
        glob.glob(os.path.join(directory, ".venv", "lib", "python*", "site-packages"))
        or glob.glob(os.path.join(directory, "**", "*.whl"), recursive=True)
    )


def exists(path: str) -> bool:
    wheel, inside = _place(path)
    return inside in _names(wheel) if wheel else os.path.isfile(path)


def listed(folder: str) -> list[str]:
    """The names in a folder, sorted."""
    wheel, inside = _place(folder)
    if not wheel:
        return sorted(os.listdir(folder))
    start = f"{inside}/"
    return sorted({one[len(start) :].partition("/")[0] for one in _names(wheel) if one.startswith(start)})


def listed_in_wheel(folder: str) -> list[str]:
    """The names in a folder of a wheel, sorted; [] for any other path."""
    return listed(folder) if _place(folder)[0] else []


def content(path: str) -> bytes:
    """What a file holds. DatabaseError when it cannot be read."""
    wheel, inside = _place(path)
    try:
        if wheel:
            return _opened(wheel, os.stat(wheel).st_mtime_ns).read(inside)
        with open(path, "rb") as opened:
            return opened.read()
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise DatabaseError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def tree(path: str) -> ast.Module:
    """The syntax tree of a file."""
    try:
        return ast.parse(content(path), path)
    except (SyntaxError, ValueError) as error:
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
        raise DatabaseError(f"{path} is not Python: {getattr(error, 'msg', error)}{line}") from None


def _place(path: str) -> tuple[str, str]:
    """(wheel, path in it); the wheel is empty for a plain file."""
    head, mark, inside = path.partition(f".whl{os.sep}")
    return (f"{head}.whl", inside) if mark and os.path.isfile(f"{head}.whl") else ("", path)


@functools.lru_cache(maxsize=256)
def _opened(wheel: str, _changed: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(wheel)


def _names(wheel: str) -> frozenset[str]:
    try:
        return _listing(wheel, os.stat(wheel).st_mtime_ns)
    except (OSError, zipfile.BadZipFile) as error:
        raise DatabaseError(f"{wheel} cannot be read as a wheel: {error}") from None


@functools.lru_cache(maxsize=256)
def _listing(wheel: str, changed: int) -> frozenset[str]:
    return frozenset(_opened(wheel, changed).namelist())
