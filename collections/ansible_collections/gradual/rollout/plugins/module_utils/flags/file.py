# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The flag file on a host: read it, write it so that every process reloads, wait until every process evaluates it."""

from __future__ import annotations

import contextlib
import os
import time
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.common import files, http
from ansible_collections.gradual.rollout.plugins.module_utils.flags import definition as flag_definition
from ansible_collections.gradual.rollout.plugins.module_utils.flags import process_state

PAUSE = 0.2
# A provider that starts reads the file first and its time afterwards: what is written in between it takes for what it
# has read. While a process is behind, the file gets a newer time again and again, so that it is read once more.
RENEW = 1.0
# Bytes of metrics that are read. A process whose lines were cut off would count as one that does not exist.
METRICS = 256 << 20


def read(path: str) -> t.Tuple[t.Optional[t.Dict[str, t.Any]], str, t.Optional[str]]:
    """(document, text, what is wrong with it): no file is (None, "", None), a file that cannot be parsed is (None,
    text, sentence)."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            text = handle.read()
    except FileNotFoundError:
        return None, "", None
    except OSError as error:
        raise flag_definition.FlagFileError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return flag_definition.parse(text), text, None
    except flag_definition.FlagFileError as error:
        return None, text, f"{path}: {error}"


def write(path: str, text: str) -> None:
    """Replace the file in one step, readable for all, with a time that is newer than the old file's.

    Providers in file mode reload only when the time is newer, so a clock that was set back must not hide the change.
    """
    folder = os.path.dirname(path) or "."
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
        files.replace(path, text, newer=True)
    except OSError as error:
        raise flag_definition.FlagFileError(
            f"{path} cannot be written: {error.strerror}; look at the disk and the rights of {folder}"
        ) from error


def renew(path: str) -> None:
    """Give the file a newer time, as if it had been written again."""
    with contextlib.suppress(OSError):
        files.make_newer(path, files.modified(path))


def wait(
    url: str, document: t.Mapping[str, t.Any], wanted: t.Sequence[flag_definition.Wanted], timeout: float, path: str
) -> t.List[process_state.Process]:
    """The processes, once all of them evaluate the document at `path` for the wanted flags; raises FlagFileError with
    what differs when time is up."""
    flags = [each.flag for each in wanted]
    deadline = time.monotonic() + timeout
    renewed = time.monotonic()
    while True:
        now = time.time()
        expected = {
            each.flag: (flag_definition.revision_of(document, each.flag), each.percent_at(now)) for each in wanted
        }
        found: t.List[process_state.Process] = []
        try:
            answer = http.get(url, max(1.0, min(5.0, timeout)), limit=METRICS)
            if answer.status != 200:
                raise http.HttpError(f"status {answer.status}")
            text = answer.text
            found = process_state.living(
                process_state.processes(text, flags), lambda pid: os.path.isdir(f"/proc/{pid}")
            )
            told = process_state.complaints(found, expected, process_state.speaks(text))
            told += process_state.unlabelled(
                text, {each.flag: [flag_definition.label(percent) for percent in each.labels] for each in wanted}
            )
        except http.HttpError as error:
            told = [f"{url} does not answer: {error}"]
        if not told:
            return found
        if time.monotonic() >= deadline:
            more = f"; and {len(told) - 3} more" if len(told) > 3 else ""
            unseen = flag_definition.FlagFileError(
                f"the flag file is written, but after {timeout:g} s " + "; ".join(told[:3]) + more
            )
            unseen.written = True
            raise unseen
        if time.monotonic() - renewed >= RENEW:
            renewed = time.monotonic()
            renew(path)
        time.sleep(PAUSE)
