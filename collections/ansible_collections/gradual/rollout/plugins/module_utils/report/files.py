# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Write a report beside its ledger, and record its digests there."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.common import files
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import LedgerError, locked, read
from ansible_collections.gradual.rollout.plugins.module_utils.report import charts, check, document, page, text
from ansible_collections.gradual.rollout.plugins.module_utils.report.events import Line, ReportError


def write(path: str, rollout: str | None, directory: str | None, check_mode: bool) -> dict[str, Any]:
    """Make the report of a rollout (default: the newest) of the ledger in `path`; return what the module returns.

    Files are replaced only where they differ. The digests go into the ledger, under its lock, when the newest
    ones recorded there are others.
    """
    lines = _lines(path)
    report = document.build(lines, rollout)
    target = directory or os.path.join(path, "reports", report["rollout"])
    contents = _contents(report)
    digests = {name: check.sha256(content) for name, content in contents.items()}
    stale = [name for name, digest in digests.items() if _digest_of(os.path.join(target, name)) != digest]
    recorded = _recorded(lines, report["rollout"]) == digests
    if not check_mode:
        for name in stale:
            _replace(os.path.join(target, name), contents[name])
        if not recorded:
            _record(path, report["rollout"], digests)
    return {
        "changed": bool(stale) or not recorded,
        "directory": target,
        "files": digests,
        "rollout": report["rollout"],
        "outcome": report["outcome"],
        "gate": report["gate"]["status"],
        "reasons": report["gate"]["reasons"],
        "summary": document.summary(report),
        "next_steps": report["next_steps"],
    }


def _lines(path: str) -> list[Line]:
    reading = read(path)
    if reading.broken is not None:
        raise ReportError(
            f"The ledger in {path} was changed by something other than Gradual: {reading.broken}. No report is made"
            " of it."
        )
    return reading.lines


def _contents(report: dict[str, Any]) -> dict[str, bytes]:
    try:
        drawn = charts.draw(report)
        texts = {
            "report.json": document.render(report),
            "report.md": text.render(report),
            "report.html": page.render(report, drawn),
        }
    except ImportError as error:
        raise ReportError(
            f"{error}. Install what draws and writes the report: apt install python3-matplotlib python3-jinja2"
        ) from error
    return {name: content.encode("utf-8") for name, content in texts.items()}


def _recorded(lines: list[Line], rollout: str) -> dict[str, Any] | None:
    written = [line for line in lines if line["event"] == "report.written" and line["rollout"] == rollout]
    files = written[-1]["data"].get("files") if written else None
    return files if isinstance(files, dict) else None


def _record(path: str, rollout: str, digests: dict[str, str]) -> None:
    """Add report.written. It takes no lease: it says nothing about users, and a report may be written while somebody
    else rolls out."""
    try:
        with locked(path) as ledger:
            ledger.append(rollout, [("report.written", {"files": digests})])
    except LedgerError as error:
        raise ReportError(str(error)) from error


def _digest_of(path: str) -> str | None:
    try:
        with open(path, "rb") as stream:
            return check.sha256(stream.read())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReportError(f"{path} cannot be read: {error.strerror}") from error


def _replace(path: str, content: bytes) -> None:
    """Whole or not at all, readable by everybody: a report holds no secret."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        files.replace(path, content)
    except OSError as error:
        raise ReportError(
            f"{path} cannot be written: {error.strerror}. Free disk space or give access, then launch the playbook"
            " report.yml again."
        ) from error
