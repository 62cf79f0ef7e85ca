# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Asks a running application for each item of the contract."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.application import contract, metrics_text
from ansible_collections.gradual.rollout.plugins.module_utils.application.contract import Expected, Finding, Reply, Seen
from ansible_collections.gradual.rollout.plugins.module_utils.common.http import HttpError, Session
from ansible_collections.gradual.rollout.plugins.module_utils.common.probe import USER_KEY, user_header

# The option of the modules that check the contract; doc_fragments/application_contract.py describes it.
OPTIONS: t.Dict[str, t.Any] = {
    "features": {"type": "list", "elements": "str"},
    "slow_seconds": {"type": "float", "default": 0.5},
    "paths": {"type": "dict", "default": {}},
    "user_key": {"type": "str", "default": USER_KEY, "no_log": False},
}
TIMEOUT = 5.0
# An application may need two seconds until it tells what its processes evaluate.
PATIENCE, PAUSE = 3.0, 0.5
USERS = tuple(f"contract-check-{number}" for number in range(1, 9))
TIMES = 3


def expected_of(given: t.Mapping[str, t.Any], **known: t.Optional[str]) -> Expected:
    """From the values of OPTIONS; known: application, release and digest, as far as they are known."""
    return Expected(
        features=None if given["features"] is None else tuple(given["features"]),
        slow_seconds=given["slow_seconds"],
        paths=contract.contract_paths(given["paths"]),
        **known,
    )


def check(
    base_url: str,
    expected: Expected,
    user_key: str = USER_KEY,
    ca_path: t.Optional[str] = None,
    patience: float = PATIENCE,
) -> t.List[Finding]:
    """The findings for the application at base_url. One that lacks an item without which nothing can be rolled out is
    asked again for `patience` seconds. HttpError if base_url is no URL."""
    until = time.monotonic() + patience
    with Session(base_url, TIMEOUT, ca_path) as session:
        while True:
            findings = contract.judge(_ask(session, expected, user_key), expected)
            if not contract.failed(findings, contract.MUST) or time.monotonic() >= until:
                return findings
            time.sleep(PAUSE)


def _ask(session: Session, expected: Expected, user_key: str) -> Seen:
    paths = expected.paths
    health, ready, version = (_get(session, paths[name]) for name in ("health", "ready", "version"))
    before = _get(session, paths["metrics"])
    features = expected.features
    if features is None:
        features = tuple(metrics_text.read(contract.text_of(before)).features())
    users: t.Dict[str, t.List[Reply]] = {}
    for user in USERS if features else ():
        users[user] = [_get(session, paths["features"], user_header(user_key, user)) for _time in range(TIMES)]
        if not contract.text_of(users[user][0]):
            break
    return Seen(health, ready, version, before, _get(session, paths["metrics"]), users)


def _get(session: Session, path: str, headers: t.Optional[t.Dict[str, str]] = None) -> Reply:
    try:
        return session.get(path, headers)
    except HttpError as error:
        return str(error)
