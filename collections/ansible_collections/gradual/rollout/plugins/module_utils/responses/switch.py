# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Turn one flag off on this host, and verify it as the application evaluates it: all that the monitoring host's key
can ask for. The result is that of the module feature_flags with state killed."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import Any, Mapping

from ansible_collections.gradual.rollout.plugins.module_utils.common import host_lock
from ansible_collections.gradual.rollout.plugins.module_utils.flags import definition as flag_definition
from ansible_collections.gradual.rollout.plugins.module_utils.flags import file as flag_file
from ansible_collections.gradual.rollout.plugins.module_utils.flags import kill, kill_mark

# Bytes of a request.
LONGEST = 4096
TEXTS = ("flag", "by", "reason")


class RequestError(Exception):
    """A request that is not understood."""


def request_from(text: str) -> dict[str, Any]:
    """{flag, by, reason, at} of a request in JSON; RequestError for anything else."""
    try:
        told = json.loads(text)
        wanted: dict[str, Any] = {key: str(told[key]) for key in TEXTS}
        wanted["at"] = float(told["at"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RequestError(f"not a request, expected JSON with flag, by, reason and at: {error}") from error
    if not wanted["flag"]:
        raise RequestError("flag: got nothing, expected the key of a feature")
    return wanted


def switch_off(request: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Kill the flag in the file of the settings, {path, verify_url, seconds}; wait until each process evaluates it."""
    path, flag, now = settings["path"], request["flag"], time.time()
    told: dict[str, Any] = {"changed": False, "killed": {}, "unknown": [], "processes": [], "written": False}
    try:
        with host_lock.Claim("flags", path, takes=False).step():
            current, _text, _broken = flag_file.read(path)
            if not kill.has(current, flag):
                return {**told, "unknown": [flag], "verified": False, "document": {"flags": (current or {})["flags"]}}
            change = kill.killed(current, flag, request["by"], request["reason"], int(now), now, request["at"])
            if change.changed:
                flag_file.write(path, flag_definition.render(change.document))
        marks = kill_mark.marks(change.document, [flag])
        told.update(changed=change.changed, written=True)
        told["killed"] = {name: dataclasses.asdict(mark) for name, mark in marks.items()}
        wanted = [flag_definition.Wanted(flag, 0)]
        told["processes"] = flag_file.wait(
            settings["verify_url"], change.document, wanted, float(settings["seconds"]), path
        )
    except flag_definition.FlagFileError as error:
        return {**told, "failed": True, "verified": False, "msg": str(error)}
    return {**told, "verified": True}
