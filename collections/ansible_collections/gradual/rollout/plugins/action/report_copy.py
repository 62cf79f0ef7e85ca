# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies a report to the controller where that is possible, and says why where it is not; it never fails.

The rollout has ended when it is copied, and the controller may be anything: a read-only checkout, a container that is
gone after the job, a user without a name or a home.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import tempfile
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.gradual.rollout.plugins.module_utils.common import files

ARGUMENTS = {
    "directory": {"type": "str", "required": True},
    "files": {"type": "dict", "required": True},
    "to": {"type": "str", "required": True},
}


class ActionModule(ActionBase):
    """Directory and digests of a report on the task's host in, whether it was copied out."""

    _supports_check_mode = True
    _supports_async = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """See the module's documentation."""
        variables = task_vars or {}
        _validation, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        host = self._task.delegate_to or variables.get("inventory_hostname") or "the host"
        place = f"The report is on {host} in {options['directory']}"
        changed, copied, to = False, False, options["to"]
        try:
            result: dict[str, Any] = super().run(tmp, variables)
            to = os.path.abspath(to)
            for name, digest in sorted(options["files"].items()):
                path = os.path.join(to, os.path.basename(name))
                if _digest_of(path) != digest:
                    changed = True
                    if not self._task.check_mode:
                        writable(to)
                        content = self._content(os.path.join(options["directory"], name), digest, variables)
                        files.replace(path, content, durable=False)
            copied = not (changed and self._task.check_mode)
            told = f"{place}, and a copy on the controller in {to}" if copied else place
        except Exception as error:  # whatever it is, the rollout has ended
            result, changed = {}, False
            told = f"{place}. It was not copied to the controller, {to}: {_reason(error)}"
        return {**result, "changed": changed, "copied": copied, "to": to, "msg": told}

    def cleanup(self, force: bool = False) -> None:
        """Remove temporary files, where the host is there to do it."""
        with contextlib.suppress(Exception):
            super().cleanup(force)

    def _content(self, path: str, digest: str, variables: dict[str, Any]) -> bytes:
        found = self._execute_module(module_name="ansible.legacy.slurp", module_args={"src": path}, task_vars=variables)
        if found.get("failed") or found.get("unreachable"):
            raise OSError(str(found.get("msg") or f"{path} cannot be read"))
        content = base64.b64decode(found["content"])
        if hashlib.sha256(content).hexdigest() != digest:
            raise OSError(f"{path} is another file than the one that was written")
        return content


def writable(directory: str) -> None:
    """Make a directory and see that files can be made in it; OSError when not."""
    os.makedirs(directory, exist_ok=True)
    descriptor, path = tempfile.mkstemp(prefix=".report-", dir=directory)
    os.close(descriptor)
    os.unlink(path)


def _digest_of(path: str) -> str | None:
    try:
        with open(path, "rb") as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except OSError:
        return None


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split()) or type(error).__name__
