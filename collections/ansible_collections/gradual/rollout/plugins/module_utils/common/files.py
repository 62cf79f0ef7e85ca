# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Replace a file in one step, and put a directory's entries on the disk."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from typing import Union

EVERYBODY_READS = 0o644


def replace(path: str, content: Union[str, bytes], durable: bool = True, newer: bool = False) -> None:
    """Write the file at `path`, readable by everybody. Whoever reads it meanwhile sees the old content or the new one.

    durable: the content is on the disk before the file is replaced, so that a crash leaves a whole file.
    newer: the file's time is later than that of the file it replaces, even where the clock was set back.
    The directory must exist. OSError as the system raises it; nothing is left behind then.
    """
    directory, name = os.path.split(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}-", dir=directory or ".")
    try:
        with open(descriptor, "wb") as stream:
            stream.write(content.encode("utf-8") if isinstance(content, str) else content)
            stream.flush()
            os.fchmod(stream.fileno(), EVERYBODY_READS)
            if durable:
                os.fsync(stream.fileno())
        if newer:
            make_newer(temporary, modified(path))
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def modified(path: str) -> float:
    """When the file was written last, in seconds since the epoch; 0 when it is not there."""
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return 0.0


def make_newer(path: str, than: float) -> None:
    """Give the file the time of now, or one that is later than `than`."""
    fresh = max(time.time(), than + 0.01)
    os.utime(path, (fresh, fresh))


def sync_directory(path: str) -> None:
    """Put the directory's entries on the disk, so that a new or renamed file in it outlives a crash."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
