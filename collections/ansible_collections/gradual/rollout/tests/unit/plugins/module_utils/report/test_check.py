"""A written report is held against its ledger: one changed byte is found, and named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.ledger import hash_chain
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import locked
from ansible_collections.gradual.rollout.plugins.module_utils.report import (
    check,
    document,
    files,
)
from ansible_collections.gradual.rollout.tests.unit import sample_ledger as sample
from ansible_collections.gradual.rollout.tests.unit.claiming import by_id

# The files.


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A ledger and its report, made once, for drawing takes time."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    directory = tmp_path_factory.mktemp("made")
    (directory / "ledger.jsonl").write_bytes(sample.never_ready().content)
    return directory, files.write(str(directory), None, str(directory / "report"), check_mode=False)


@pytest.fixture
def written(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> tuple[Path, Path, dict[str, Any]]:
    """(the ledger, the directory of its report, what the module returned), a copy for each test to harm."""
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    return tmp_path / "ledger.jsonl", tmp_path / "report", made[1]


def test_writing_again_changes_nothing(written: tuple[Path, Path, dict[str, Any]]) -> None:
    ledger, directory, result = written
    before = ledger.read_bytes()
    again = files.write(str(ledger.parent), None, str(directory), check_mode=False)
    assert (result["changed"], again["changed"]) == (True, False)
    assert ledger.read_bytes() == before
    assert sorted(path.name for path in directory.iterdir()) == ["report.html", "report.json", "report.md"]


def test_check_mode_writes_nothing_and_says_what_it_would(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "ledger.jsonl").write_bytes(sample.never_ready().content)
    result = files.write(str(tmp_path), None, None, check_mode=True)
    assert result["changed"]
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.jsonl"]


def test_an_untouched_report_holds(written: tuple[Path, Path, dict[str, Any]]) -> None:
    ledger, directory, _result = written
    assert check.check(ledger.read_bytes(), check.read_report(str(directory))) == []
    assert check.main([str(ledger), str(directory)]) == 0


@pytest.mark.parametrize("name", ["ledger.jsonl", "report.json", "report.md", "report.html"])
@pytest.mark.parametrize("where", [0.0, 0.1, 0.37, 0.5, 0.81, 0.99, 1.0])
def test_one_changed_byte_is_found(written: tuple[Path, Path, dict[str, Any]], name: str, where: float) -> None:
    ledger, directory, _result = written
    path = ledger if name == "ledger.jsonl" else directory / name
    content = bytearray(path.read_bytes())
    content[int(where * (len(content) - 1))] ^= 0x01
    path.write_bytes(content)
    problems = check.check(ledger.read_bytes(), check.read_report(str(directory)))
    assert problems
    assert check.main([str(ledger), str(directory)]) == 1


def test_a_changed_claim_is_named_even_when_the_ledger_was_told_its_digest(
    written: tuple[Path, Path, dict[str, Any]],
) -> None:
    ledger, directory, _result = written
    report = json.loads((directory / "report.json").read_text())
    by_id(report)["noticed-to-safe"]["value"] = 0.1
    content = document.render(report).encode()
    (directory / "report.json").write_bytes(content)
    lines = [json.loads(line) for line in ledger.read_bytes().splitlines()]
    digests = {**lines[-1]["data"]["files"], "report.json": check.sha256(content)}
    line = hash_chain.link(
        len(lines) + 1, lines[-1]["time"], lines[-1]["rollout"], "report.written", {"files": digests}, lines[-1]["hash"]
    )
    forged = ledger.read_bytes() + hash_chain.canonical(line) + b"\n"
    problems = check.check(forged, check.read_report(str(directory)))
    assert problems == ["claim noticed-to-safe: value is 0.1 in the report, the record gives 5.2"]


def test_a_report_holds_though_the_rollout_has_gone_on_since(written: tuple[Path, Path, dict[str, Any]]) -> None:
    ledger, directory, _result = written
    with locked(str(ledger.parent)) as opened:
        opened.append(
            str(_result["rollout"]), [("rollout.resumed", {}), ("report.written", {"files": {"report.json": "0" * 64}})]
        )
    assert check.check(ledger.read_bytes(), check.read_report(str(directory))) == []


def test_a_report_of_another_version_is_named() -> None:
    ledger = sample.never_ready()
    content = document.render({**document.build(ledger.lines), "made_by": "gradual.rollout 0.0.9"}).encode()
    ledger.add("report.written", files={"report.json": check.sha256(content)})
    problems = check.check(ledger.content, {"report.json": content})
    assert (
        "it was made by 'gradual.rollout 0.0.9', and this is gradual.rollout 0.1.0: check it with the version that"
        " made it" in problems
    )


def test_a_missing_file_and_an_unrecorded_report_are_named(written: tuple[Path, Path, dict[str, Any]]) -> None:
    ledger, directory, _result = written
    (directory / "report.md").unlink()
    assert check.check(ledger.read_bytes(), check.read_report(str(directory))) == ["report.md is missing"]
    without = b"".join(line + b"\n" for line in ledger.read_bytes().splitlines()[:-1])
    assert any("no report of" in problem for problem in check.check(without, check.read_report(str(directory))))
