# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""The program that the module responses_program installs on a host:

responses.pyz serve SETTINGS       the unit that takes Alertmanager's deliveries, on the monitoring host
responses.pyz ledger DIRECTORY     one request to the ledger, on standard input
responses.pyz switch-off SETTINGS  one flag off on this host, the request on standard input
"""

from __future__ import annotations

import json
import sys

from ansible_collections.gradual.rollout.plugins.module_utils.responses import ledger, switch, unit


def main(argv: list[str]) -> None:
    """Run one of the commands."""
    if len(argv) != 2 or argv[0] not in ("serve", "ledger", "switch-off"):
        raise SystemExit(__doc__)
    command, path = argv
    if command == "serve":
        unit.serve(path)
    elif command == "ledger":
        _answer(ledger.answer(sys.stdin.readline(ledger.LONGEST), path))
    else:
        _answer(_switch_off(path))


def _answer(told: dict[str, object]) -> None:
    """A line of JSON on standard output, for the one who asked."""
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


def _switch_off(path: str) -> dict[str, object]:
    with open(path, encoding="utf-8") as stream:
        settings = json.load(stream)
    try:
        return switch.switch_off(switch.request_from(sys.stdin.read(switch.LONGEST)), settings)
    except switch.RequestError as error:
        return {"failed": True, "written": False, "msg": str(error)}
