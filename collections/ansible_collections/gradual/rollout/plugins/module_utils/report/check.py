# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Recompute a report from its ledger: one changed byte in either of them is found, and named."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from typing import Any

from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import FILE, Reading, parse
from ansible_collections.gradual.rollout.plugins.module_utils.report import document
from ansible_collections.gradual.rollout.plugins.module_utils.report.events import Line, ReportError, mapping

FILES = ("report.json", "report.md", "report.html")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def check(ledger: bytes, files: dict[str, bytes]) -> list[str]:
    """What is wrong with a report (its files by name), held against the bytes of its ledger. An empty list: nothing."""
    reading = parse(ledger)
    problems = _chain(reading)
    stored = _json(files.get("report.json"), problems)
    if stored is None:
        return problems
    rollout = str(stored.get("rollout"))
    written = _written(reading.lines, rollout, sha256(files["report.json"]))
    if written is None:
        return [*problems, f"ledger: no report of {rollout} was ever recorded"]
    problems += _digests(written, files)
    try:
        # The rollout may have gone on since: the report is of what stood before the line that recorded it.
        again = document.build([line for line in reading.lines if line["seq"] < written["seq"]], rollout)
    except ReportError as error:
        return [*problems, str(error)]
    if stored.get("made_by") != again["made_by"]:
        problems.append(
            f"it was made by {stored.get('made_by')!r}, and this is {again['made_by']}: check it with the version that"
            " made it"
        )
    problems += _claims(stored, again)
    if not problems and document.render(again).encode("utf-8") != files["report.json"]:
        problems.append(
            "report.json differs from what its ledger gives in:"
            f" {', '.join(_different(stored, again)) or 'its spelling'}"
        )
    return problems


def _chain(reading: Reading) -> list[str]:
    problems = [f"ledger: {reading.broken}"] if reading.broken is not None else []
    if reading.torn:
        problems.append(f"ledger: {reading.torn} bytes after the last whole line belong to nobody")
    if not reading.lines:
        problems.append("ledger: it holds no line that can be trusted")
    return problems


def _json(content: bytes | None, problems: list[str]) -> dict[str, Any] | None:
    if content is None:
        problems.append("report.json is missing")
        return None
    try:
        stored = json.loads(content.decode("utf-8"))
    except ValueError as error:
        problems.append(f"report.json is not JSON: {error}")
        return None
    if not isinstance(stored, dict):
        problems.append("report.json is not an object")
        return None
    return stored


def _written(lines: list[Line], rollout: str, digest: str) -> Line | None:
    """The line that recorded this very report.json, else the newest that recorded one of the rollout."""
    found = [line for line in lines if line["event"] == "report.written" and line["rollout"] == rollout]
    same = [line for line in found if mapping(line["data"].get("files")).get("report.json") == digest]
    chosen = same or found
    return chosen[-1] if chosen else None


def _digests(written: Line, files: dict[str, bytes]) -> list[str]:
    """Hold the files against the digests that were recorded when they were written."""
    digests = mapping(written["data"].get("files"))
    problems = [f"report.written (line {written['seq']}) does not name {name}" for name in FILES if name not in digests]
    for name, digest in sorted(digests.items()):
        if name not in files:
            problems.append(f"{name} is missing")
        elif sha256(files[name]) != digest:
            problems.append(f"{name} was changed after it was written (line {written['seq']} has another digest)")
    return problems


def _claims(stored: dict[str, Any], again: dict[str, Any]) -> list[str]:
    claims = stored.get("claims")
    old = (
        {str(claim.get("id")): claim for claim in claims if isinstance(claim, dict)} if isinstance(claims, list) else {}
    )
    new = {claim["id"]: claim for claim in again["claims"]}
    problems = [f"claim {name}: the report does not make it, though the record does" for name in new if name not in old]
    problems += [f"claim {name}: nothing in the record makes it" for name in old if name not in new]
    for name, claim in new.items():
        for key in ("status", "value", "statement", "evidence", "recompute", "criteria", "qualities"):
            if name in old and old[name].get(key) != claim[key]:
                problems.append(
                    f"claim {name}: {key} is {old[name].get(key)!r} in the report, the record gives {claim[key]!r}"
                )
    return problems


def _different(stored: dict[str, Any], again: dict[str, Any]) -> list[str]:
    return sorted(key for key in {*stored, *again} if stored.get(key) != again.get(key))


def read_report(path: str) -> dict[str, bytes]:
    """The files of a report, from its directory or from the path of its report.json."""
    directory = path if os.path.isdir(path) else os.path.dirname(path) or "."
    files = {}
    for name in FILES:
        try:
            with open(os.path.join(directory, name), "rb") as stream:
                files[name] = stream.read()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ReportError(f"{os.path.join(directory, name)} cannot be read: {error.strerror}") from error
    if not files:
        raise ReportError(f"There is no report in {directory}. Give the directory that holds report.json.")
    return files


def read_ledger(path: str) -> bytes:
    """The bytes of a ledger, from its file or from the directory that holds it."""
    path = os.path.join(path, FILE) if os.path.isdir(path) else path
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except OSError as error:
        raise ReportError(
            f"The ledger {path} cannot be read: {error.strerror}. Give the path of a ledger.jsonl."
        ) from error


def main(arguments: list[str]) -> int:
    """Check a report against a copied ledger, without a fleet: LEDGER and REPORT in, an exit status out."""
    if len(arguments) != 2:
        print("usage: check LEDGER REPORT   (a ledger.jsonl, and the directory that holds its report.json)")
        return 2
    try:
        ledger, files = read_ledger(arguments[0]), read_report(arguments[1])
    except ReportError as error:
        print(error)
        return 2
    problems = check(ledger, files)
    for problem in problems:
        print(f"WRONG: {problem}")
    if problems:
        return 1
    report = json.loads(files["report.json"])
    shown = [claim for claim in report["claims"] if claim["evidence"]]
    print(f"{report['rollout']}: {report['headline']}; gate {report['gate']['status']}")
    print(
        f"{len(report['claims'])} claims recomputed from {report['ledger']['through']} lines, {len(shown)} of them with"
        " evidence; nothing differs."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
