# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Level `sound`: on the restored copy, the previous release and the pending migrations work, and the previous release
works after the migrations too."""

from __future__ import annotations

import contextlib
import os
import pwd
import time
from typing import Any, Iterator, Mapping, Protocol

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql import dsn
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.scratch import PORT, Scratch
from ansible_collections.gradual.rollout.plugins.module_utils.verify import copy_access, rehearsal, root_helper, smoke
from ansible_collections.gradual.rollout.plugins.module_utils.verify.network_namespace import isolate

Options = Mapping[str, Any]


class RestoreTest(Protocol):
    """sound: {"pending": {...}, "smoke": {...}}, both optional; see `rehearsal.rehearse` and `smoke.try_release`."""

    @property
    def sound(self) -> Options | None: ...


@contextlib.contextmanager
def root_helper_running(options: Options | None) -> Iterator[None]:
    """Call as root, around the restore test, which becomes the cluster's user: the helper starts the release."""
    if not options:
        yield
        return
    with root_helper.running(_work(options)):
        yield


def prove(test: RestoreTest, receipt: Mapping[str, Any], scratch: Scratch) -> dict[str, Any]:
    """{"rehearsal": [...] or None, "smoke": [...] or None, "durations": {...}}; None: not measured.

    Runs as the cluster's user, on a copy that was compared already, and changes it. DatabaseError when it is not sound.
    """
    options = test.sound or {}
    roles = [
        dsn.role_of(part["environment"]["DATABASE_URL"])
        for part in (options.get("pending"), options.get("smoke"))
        if part
    ]
    if not roles:
        return {"rehearsal": None, "smoke": None, "durations": {}}
    with copy_access.opened(scratch, roles) as passwords:
        told = {
            "folder": scratch.folder,
            "port": PORT,
            "database": receipt["database"],
            "programs": scratch.programs,
            "passwords": passwords,
            "run_as": pwd.getpwuid(os.geteuid()).pw_name,
            "rows": {name: facts["rows"] for name, facts in receipt["tables"].items()},
        }
        found: dict[str, Any] = root_helper.ask(told, _work(options))
    return found


def _work(options: Options) -> root_helper.Work:
    return lambda told: carry_out(options, rehearsal.Copy(**told))


def carry_out(options: Options, copy: rehearsal.Copy) -> dict[str, Any]:
    """Smoke test, rehearsal, and smoke test again. Runs as root if the module does. Returns what `prove` returns."""
    isolated = isolate()
    durations: dict[str, float] = {}
    rehearsed, tried = None, None
    if options.get("smoke"):
        tried = [
            {
                "when": "restored",
                "isolated": isolated,
                **_try(options["smoke"], copy, "on the restored copy, before any migration"),
            }
        ]
        durations["smoke"] = tried[0]["seconds"]
    if options.get("pending"):
        begun = time.monotonic()
        rehearsed = rehearsal.rehearse(copy, options["pending"])
        durations["rehearsal"] = round(time.monotonic() - begun, 3)
    if tried and rehearsed:
        revisions = ", ".join(one["revision"] for one in rehearsed)
        tried.append(
            {
                "when": "migrated",
                "isolated": isolated,
                **_try(options["smoke"], copy, f"after the pending migrations ({revisions})"),
            }
        )
        durations["smoke_migrated"] = tried[1]["seconds"]
    return {"rehearsal": rehearsed, "smoke": tried, "durations": durations}


def _try(release: Mapping[str, Any], copy: rehearsal.Copy, when: str) -> dict[str, Any]:
    version = release.get("version") or os.path.basename(str(release["directory"]).rstrip("/"))
    try:
        result = smoke.try_release(
            release, copy_access.environment(release["environment"], copy.folder, copy.port, copy.passwords)
        )
    except DatabaseError as error:
        hint = (
            "A rollback to this release would fail. Change the migration so that this release works after it"
            if "after" in when
            else "Fix or replace that release first"
        )
        raise DatabaseError(f"the previous release {version} does not work {when}: {error}. {hint}") from None
    return {"version": version, **result}
