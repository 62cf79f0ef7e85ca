# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Python files of a release, in folders or in the wheels that its environment will be made from.

A path that goes on behind a wheel (`wheels/app-1.0-py3-none-any.whl/app/models.py`) names a file in it.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import glob
import io
import lzma
import os
import struct
import tokenize
import zipfile
import zlib
from typing import Iterator

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError

# What a damaged wheel raises, or one with a kind of compression or a password that nobody here has.
_DAMAGED = (OSError, KeyError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
            struct.error)  # fmt: skip


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
    start = f"{inside}/" if inside else ""
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
    except _DAMAGED as error:
        said = getattr(error, "strerror", None) or error
        again = "; build the artifact again" if wheel else ""
        raise DatabaseError(f"{path} cannot be read: {said}{again}") from None


def tree(path: str) -> ast.Module:
    """The syntax tree of a file."""
    return parsed(content(path), path)


def parsed(content: bytes, file: str) -> ast.Module:
    """The syntax tree of what a file holds, by the encoding that the file names. file: for messages."""
    try:
        with not_too_deep(file):
            return ast.parse(content, file)
    except (SyntaxError, ValueError) as error:
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        raise DatabaseError(f"{file} is not Python: {getattr(error, 'msg', error)}{line}") from None


def text(path: str) -> str:
    """A file that `tree` can read, as text, without a byte order mark."""
    data = content(path)
    encoding, _lines = tokenize.detect_encoding(io.BytesIO(data).readline)
    return data.decode(encoding, "replace")


@contextlib.contextmanager
def not_too_deep(file: str) -> Iterator[None]:
    """Expressions inside of each other end in one clear error, where they are more than Python reads."""
    try:
        yield
    except (RecursionError, MemoryError):
        raise DatabaseError(
            f"{file} has an expression that is nested too deeply to be read; write it as several shorter ones"
        ) from None


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
    except _DAMAGED as error:
        raise DatabaseError(f"{wheel} cannot be read as a wheel: {error}; build the artifact again") from None


@functools.lru_cache(maxsize=256)
def _listing(wheel: str, changed: int) -> frozenset[str]:
    return frozenset(_opened(wheel, changed).namelist())
