"""The page is made from its data alone, and hides nothing that went wrong."""

from __future__ import annotations

from pathlib import Path

from . import matrix, page, tools
from .fault import ROWS, Fault, Seen
from .table import Result

DOCS = Path(__file__).resolve().parents[2] / "docs"


def result(number: int, case: str = "", *, wrong: str = "", elsewhere: str = "") -> Result:
    seen = None if wrong or elsewhere else Seen("did /tmp/gradual-test-abc1/x | well", "at 0001", 1.25)
    return Result(Fault(number, case, "by hand", lambda _stage: Seen("", "", 0)), seen, wrong, elsewhere)


def made(results: list[Result]) -> str:
    rows = [
        matrix.Row("nothing (dump)", {"Gradual: restored": True}),
        matrix.Row("dump cut", {matrix.LIST: True, "Gradual: restored": False}),
    ]
    return page.page(page.cases(results), page.damages(rows, matrix.COLUMNS), "bench-faults", "ansible==1")


def test_all_right() -> None:
    text = made([result(number) for number in ROWS])
    assert f"{len(ROWS)} of {len(ROWS)} faults ended as they should, in {len(ROWS)} cases." in text
    assert "ended otherwise" not in text
    assert "| 1 | long transaction against ALTER | – | 1 of 1 | 1.2 |" in text


def test_what_went_wrong_is_told() -> None:
    text = made([result(1, "a"), result(1, "b", wrong="AssertionError: at 0002"), result(2, elsewhere="no disk")])
    assert "0 of 25 faults ended as they should, in 3 cases." in text
    assert "| 1 | long transaction against ALTER | a; b | **1 of 2** | 1.2 |" in text
    assert "| long transaction against ALTER: b | no | AssertionError: at 0002 |" in text
    assert "| lock never free | not caused here | no disk |" in text


def test_a_case_is_one_line_without_folders_of_the_run() -> None:
    (line,) = page.cases([result(3, "c")])
    assert line == {
        "number": "3",
        "fault": ROWS[3],
        "case": "c",
        "caused_by": "by hand",
        "what_gradual_did": "did …/x | well",
        "database_afterwards": "at 0001",
        "seconds": "1.2",
        "right": "yes",
    }


def test_a_damage_that_is_accepted_stands_out_and_is_counted() -> None:
    text = made([result(1)])
    assert "| dump cut | **accepted** | – | – | – | – | – | – | found |" in text
    assert "| nothing (dump) | – | – | – | – | – | – | – | accepted |" in text
    assert "| **accepted though damaged** | 1 of 1 | – | – | – | – | – | – | 0 of 1 |" in text


def test_the_exit_status_is_that_of_the_data() -> None:
    def damages(*, accepted: bool) -> list[page.Line]:
        rows = [matrix.Row("nothing (dump)", {page.RESTORED: True}), matrix.Row("dump cut", {page.RESTORED: accepted})]
        return page.damages(rows, matrix.COLUMNS)

    good = page.cases([result(1), result(2, elsewhere="no disk")])
    assert page.holds(good, damages(accepted=False))
    assert not page.holds(good, damages(accepted=True))
    assert not page.holds(page.cases([result(1, wrong="no")]), damages(accepted=False))


def test_the_data_can_be_read_back(tmp_path: Path) -> None:
    cases = page.cases([result(1, "x"), result(2, wrong='a, "b"')])
    damages = page.damages([matrix.Row("dump cut", {matrix.LIST: True})], matrix.COLUMNS)
    page.write(tmp_path, cases, damages)
    assert page.read(tmp_path / page.CASES) == cases
    assert page.read(tmp_path / page.DAMAGES) == damages


def test_the_committed_page_is_made_from_the_committed_data() -> None:
    folder = DOCS / "bench-faults"
    text = page.page(page.read(folder / page.CASES), page.read(folder / page.DAMAGES), folder.name, tools.ANSIBLE)
    assert (DOCS / "bench-faults.md").read_text(encoding="utf-8") == text
