# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judges the migrations of a release on the controller, before any host is touched."""

from __future__ import annotations

import contextlib
import os
import tempfile
from typing import Any, Iterator

from ansible.plugins.action import ActionBase
from ansible_collections.gradual.rollout.plugins.module_utils.migration import phases
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.revisions import READERS
from ansible_collections.gradual.rollout.plugins.module_utils.release.archive import UnpackError, unpack
from ansible_collections.gradual.rollout.plugins.module_utils.release.artifact import (
    FETCH_ARGUMENTS,
    ArtifactError,
    access_of,
    fetch,
)
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint import judge

OPEN = 0o755  # the revisions are run by nobody, who has to read them

ARGUMENTS = {
    "url": {"type": "str"},
    "sha256": {"type": "str"},
    "directory": {"type": "path"},
    "adapter": {"type": "str", "choices": list(READERS), "default": "alembic"},
    "path": {"type": "str", "default": "migrations"},
    "target": {"type": "str", "default": "head"},
    "recorded": {"type": "list", "elements": "str"},
    "phase": {"type": "str", "choices": ["expand", "contract"], "default": "expand"},
    "waivers": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {key: {"type": "str", "required": True} for key in ("revision", "rule", "reason", "until")},
    },
    "phases": phases.ARGUMENT,
    "by_lint": {"type": "bool", "default": False},
    "applied": {"type": "dict"},
    "empty": {"type": "bool", "default": False},
    "timeout": {"type": "float", "default": 30.0},
    **FETCH_ARGUMENTS,
}


class ActionModule(ActionBase):
    """An artifact or a folder in; findings out, or one message that names all that stop the rollout."""

    _requires_connection = False
    _supports_check_mode = True
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """See the module's documentation."""
        result = super().run(tmp, task_vars or {})
        result["changed"] = False
        _validation, given = self.validate_argument_spec(
            argument_spec=ARGUMENTS,
            mutually_exclusive=[("url", "directory")],
            required_one_of=[("url", "directory")],
            required_together=[("url", "sha256")],
        )
        try:
            with _release(given) as directory:
                found = judge.lint(
                    given["adapter"],
                    directory,
                    given["path"],
                    given["target"],
                    given["recorded"],
                    given["phase"],
                    given["waivers"],
                    phases=given["phases"],
                    by_lint=given["by_lint"],
                    applied=given["applied"],
                    empty=given["empty"],
                )
        except (DatabaseError, ArtifactError, UnpackError, OSError) as error:
            return {
                **result,
                "failed": True,
                "msg": f"The migrations could not be judged: {error}",
                "findings": [],
                "mistakes": [],
                "revisions": [],
                "phases": [],
            }
        stopping = judge.stops(found["findings"])
        if stopping or found["mistakes"]:
            listed = "\n".join([*judge.lines(stopping), *found["mistakes"]])
            message = (
                f"The migrations of this release are not rolled out like this:\n{listed}\nWaivers:"
                " docs/migration-lint.md"
            )
            return {**result, **found, "failed": True, "msg": message}
        return {**result, **found, "lines": list(judge.lines(found["findings"]))}


@contextlib.contextmanager
def _release(given: dict[str, Any]) -> Iterator[str]:
    """The folder of the release: the one that is named, or the artifact, unpacked for as long as it takes."""
    if given["directory"]:
        yield os.path.realpath(given["directory"])
        return
    with tempfile.TemporaryDirectory(prefix="gradual-lint-") as folder, tempfile.TemporaryFile() as packed:
        os.chmod(folder, OPEN)
        fetch(given["url"], given["sha256"], packed, given["timeout"], access_of(given))
        packed.seek(0)
        unpack(packed, folder)
        yield os.path.realpath(folder)
