# Copyright: The Gradual project
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Squawk (https://squawkhq.com) as a second check of the same statements. Its JSON counts lines from 0, and it exits
with 1 on warnings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.rules import RULES
from ansible_collections.gradual.rollout.plugins.plugin_utils.migration_lint.statements import Read, Statement

PATIENCE = 300.0
# Rules that squawk has off by default.
INCLUDED = ("require-concurrent-reindex", "require-concurrent-partition-detach", "ban-truncate-cascade")

# Squawk's rules → the rule here with the same meaning. None: it is about style, or about timeouts, which Gradual sets.
# An unknown rule of a newer squawk becomes a warning with squawk's own text.
SQUAWK: dict[str, str | None] = {
    **{name: name for name in RULES},
    **dict.fromkeys(
        (
            "prefer-bigint-over-int",
            "prefer-bigint-over-smallint",
            "prefer-identity",
            "prefer-robust-stmts",
            "prefer-text-field",
            "prefer-timestamp-tz",
            "prefer-repack",
            "ban-char-field",
            "identifier-too-long",
            "unused-ignore",
            "require-timeout-settings",
            "require-lock-timeout",
            "require-statement-timeout",
            "require-table-schema",
            "require-enum-value-ordering",
            "ban-uncommitted-transaction",
            "ban-create-domain-with-constraint",
            "ban-drop-index",
            "ban-set-default",
            "ban-add-enum-value",
            "ban-add-column",
            "ban-alter-identity",
        )
    ),
    **dict.fromkeys(
        (
            "ban-drop-column",
            "ban-drop-table",
            "ban-drop-view",
            "ban-drop-function",
            "ban-drop-type",
            "ban-drop-schema",
            "ban-drop-sequence",
            "ban-drop-domain",
            "ban-drop-extension",
            "ban-drop-constraint",
            "ban-drop-policy",
            "ban-drop-generated-expression",
            "ban-detach-inheritance",
        ),
        "drop-in-expand",
    ),
    **dict.fromkeys(("renaming-column", "renaming-table", "renaming-object", "ban-set-schema"), "rename-in-expand"),
    **dict.fromkeys(
        ("ban-create-policy", "ban-alter-policy-condition", "ban-alter-policy-roles", "ban-alter-row-level-security"),
        "row-security-in-expand",
    ),
    **dict.fromkeys(
        ("ban-drop-database", "ban-alter-role-options", "ban-alter-database-options", "ban-alter-system-options"),
        "cluster-wide",
    ),
    "ban-truncate-cascade": "truncate",
    "require-concurrent-reindex": "reindex",
    "ban-drop-default": "drop-default-in-expand",
    "ban-replace-view-function": "replace-in-expand",
    "ban-disable-trigger": "disable-trigger",
    "ban-revoke": "revoke-in-expand",
    "ban-add-composite-attribute": "alter-type",
}


@dataclass(frozen=True)
class Said:
    """A finding of squawk: our name of the rule, or squawk's for an unknown one, and its text."""

    read: int
    statement: int
    rule: str
    message: str
    help: str


def program() -> str:
    """The path of squawk: beside the Python that runs Ansible, or on PATH."""
    beside = os.path.dirname(sys.executable)
    found = shutil.which("squawk", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")
    if not found:
        raise DatabaseError(
            f"migration_lint needs squawk on the controller; type: {sys.executable} -m pip install squawk-cli"
        )
    return found


def listen(reads: Sequence[Read]) -> list[Said]:
    """Squawk's findings for each statement of each revision, without those about style."""
    places: list[dict[int, int]] = []
    with tempfile.TemporaryDirectory(prefix="gradual-lint-") as folder:
        names = []
        for number, read in enumerate(reads):
            text, lines = script(read.statements)
            places.append(lines)
            names.append(f"{number}.sql")
            with open(os.path.join(folder, names[-1]), "w", encoding="utf-8") as file:
                file.write(text)
        said = _run(folder, names) if names else []
    found = []
    for one in said:
        number = int(os.path.basename(one["file"]).partition(".")[0])
        place = _statement(places[number], one["line"])
        if place is not None and one["rule_name"] != "syntax-error":
            rule = SQUAWK.get(one["rule_name"], one["rule_name"])
            if rule is not None:
                found.append(
                    Said(
                        number,
                        place,
                        rule,
                        " ".join(str(one["message"]).split()),
                        " ".join(str(one.get("help") or "").split()),
                    )
                )
    return found


def script(statements: Sequence[Statement]) -> tuple[str, dict[int, int]]:
    """The statements as one script with their transactions, and line (from 0) → number of the statement that begins
    there."""
    lines: list[str] = []
    places: dict[int, int] = {}
    now: int | None = None
    for number, one in enumerate(statements):
        if type(one.node).__name__ == "TransactionStmt":
            continue
        if one.transaction != now:
            if now is not None:
                lines.append("COMMIT;")
            if one.transaction is not None:
                lines.append("BEGIN;")
            now = one.transaction
        places[len(lines)] = number
        # The semicolon on a line of its own, since the statement may end in a comment.
        lines += f"{one.sql}\n;".split("\n")
    if now is not None:
        lines.append("COMMIT;")
    return "\n".join(lines) + "\n", places


def _statement(places: dict[int, int], line: int) -> int | None:
    """The statement that a line belongs to: the last one that begins at or before it."""
    before = [start for start in places if start <= line]
    return places[max(before)] if before else None


def _run(folder: str, names: Sequence[str]) -> list[dict[str, Any]]:
    argv = [
        program(),
        "--reporter",
        "json",
        "--config",
        os.devnull,
        *(f"--include={name}" for name in INCLUDED),
        *names,
    ]
    done = subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE, env={"HOME": folder}
    )
    try:
        said: list[dict[str, Any]] = json.loads(done.stdout)
    except ValueError:
        said = []
        if done.returncode or done.stdout.strip():
            tail = (done.stderr or done.stdout).strip()[-300:]
            raise DatabaseError(
                f"squawk ended with exit status {done.returncode} and without a list of findings; it printed: {tail}"
            ) from None
    if done.returncode not in (0, 1):
        raise DatabaseError(
            f"squawk ended with exit status {done.returncode}; it printed: {done.stderr.strip()[-300:]}"
        )
    return said
