"""The page docs/bench-faults.md, made from two files of data that a run writes: cases.csv and damages.csv."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.tables import table

from .fault import ROWS

if TYPE_CHECKING:
    from .matrix import Row
    from .table import Result

Line = dict[str, str]
CASES, DAMAGES = "cases.csv", "damages.csv"
CASE = ("number", "fault", "case", "caused_by", "what_gradual_did", "database_afterwards", "seconds", "right")
YES, NO, ELSEWHERE = "yes", "no", "not caused here"
NONE, ACCEPTED, FOUND, REFUSED = "–", "accepted", "found", "refused"
WHOLE, RESTORED = "nothing", "Gradual: restored"
_FOLDER = re.compile(r"/tmp/gradual-[a-z]+-\w+")

HEAD = """# Faults of backups and migrations

`make bench-faults` causes each fault for real, on database clusters of its own. After each fault, a separate database
session checks the state of the database. `make database-test` causes the same faults, and fails where one ends
otherwise. `python -m tests.faults --render` makes this page again from the data. `tests/faults/README.md` explains how
the faults are built.

| file | content |
|---|---|
| [cases.csv]({folder}/cases.csv) | each case: its cause, what Gradual did, and the state of the database afterwards |
| [damages.csv]({folder}/damages.csv) | each damage to a backup, and what each check said |

## What Gradual does

{summary}

{faults}

*Seconds to a safe state*: the longest of the cases, from the fault until the database is at a known revision and no
session, lock, invalid index or unfinished folder of Gradual's is left. The limits are short in this run (deadlines of 1
to 30 s). A fault that lasts by design (an open transaction, a dump) counts for as long as it lasts.
{wrong}
## Which check finds damage in a backup

Each damage was done to a proven backup, and each cell is a check that was run on it. "–" means that the tool does not
check such a backup.

- *Before its checksum* means that the damage was there when the backup was sealed, as with bad memory or a faulty disk.
  The checksum and the seal fit it.
- *community.postgresql* (of {ansible}, installed for the run) is `postgresql_db` with `state: restore` into an
  empty database. This is more than most people do: its `state: dump` looks only at the exit status of pg_dump.
- The columns of pgBackRest are its exit status, which is what a timer sees.
- The last WAL segment of a basebackup lies beside the copy, where pg_verifybackup does not look.
- A migration needs a backup of the level *restored* or higher.

{damages}
"""


def cases(results: Sequence[Result]) -> list[Line]:
    """A line for each case, in the order of the faults."""
    return [dict(zip(CASE, map(_plain, _case(one)))) for one in results]


def _case(one: Result) -> list[str]:
    did, state, seconds = (
        (one.seen.did, one.seen.state, f"{one.seen.seconds:.1f}") if one.seen else (one.wrong or one.elsewhere, "", "")
    )
    right = YES if one.seen else NO if one.wrong else ELSEWHERE
    fault = one.fault
    return [str(fault.number), ROWS[fault.number], fault.case, fault.caused, did, state, seconds, right]


def _plain(text: str) -> str:
    # The names of folders of this run say nothing to a reader.
    return " ".join(_FOLDER.sub("…", text).split())


def damages(found: Sequence[Row], columns: Sequence[str]) -> list[Line]:
    """A line for each damage: what each check said."""
    lines = []
    for row in found:
        words = {None: NONE, True: ACCEPTED, False: REFUSED if row.damage.startswith(WHOLE) else FOUND}
        lines.append({"damage": row.damage, **{column: words[row.accepted.get(column)] for column in columns}})
    return lines


def write(folder: Path, of_cases: Sequence[Line], of_damages: Sequence[Line]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in ((CASES, of_cases), (DAMAGES, of_damages)):
        with (folder / name).open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)


def read(file: Path) -> list[Line]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def page(of_cases: Sequence[Line], of_damages: Sequence[Line], folder: str, ansible: str) -> str:
    """The page as Markdown."""
    wrong = [line for line in of_cases if line["right"] != YES]
    shown = [[name(line), line["right"], line["what_gradual_did"]] for line in wrong]
    return HEAD.format(
        folder=folder,
        summary=summary(of_cases),
        faults=_faults(of_cases),
        wrong=f"\nThese cases ended otherwise:\n\n{table(['case', 'right', 'what was seen'], shown)}\n"
        if wrong
        else "",
        ansible=ansible,
        damages=_damages(of_damages),
    )


def holds(of_cases: Sequence[Line], of_damages: Sequence[Line]) -> bool:
    """Whether no case went wrong, and no damaged backup was proven to be restorable."""
    damaged = [line for line in of_damages if not line["damage"].startswith(WHOLE)]
    return all(line["right"] != NO for line in of_cases) and all(line[RESTORED] != ACCEPTED for line in damaged)


def name(line: Line) -> str:
    return line["fault"] + (f": {line['case']}" if line["case"] else "")


def summary(of_cases: Sequence[Line]) -> str:
    """How many faults ended as they should: some case was caused, and no case went wrong."""
    missing = [f"{number} ({title})" for number, title in ROWS.items() if not _holds(_of(of_cases, number))]
    slowest = max((float(line["seconds"]) for line in of_cases if line["seconds"]), default=0.0)
    return (
        f"{len(ROWS) - len(missing)} of {len(ROWS)} faults ended as they should, in {len(of_cases)} cases. The longest"
        f" way to a safe state took {slowest:.1f} s." + (f" Not: {', '.join(missing)}." if missing else "")
    )


def _of(of_cases: Sequence[Line], number: int) -> list[Line]:
    return [line for line in of_cases if line["number"] == str(number)]


def _holds(lines: Sequence[Line]) -> bool:
    rights = {line["right"] for line in lines}
    return YES in rights and NO not in rights


def _faults(of_cases: Sequence[Line]) -> str:
    rows = []
    for number, title in ROWS.items():
        lines = _of(of_cases, number)
        right = sum(line["right"] == YES for line in lines)
        seconds = [float(line["seconds"]) for line in lines if line["seconds"]]
        variants = "; ".join(line["case"] for line in lines if line["case"])
        rows.append(
            [
                str(number),
                title,
                variants or NONE,
                f"{right} of {len(lines)}" if right == len(lines) else f"**{right} of {len(lines)}**",
                f"{max(seconds):.1f}" if seconds else NONE,
            ]
        )
    return table(["#", "fault", "cases", "ended as they should", "seconds to a safe state"], rows)


def _damages(of_damages: Sequence[Line]) -> str:
    columns = [key for key in of_damages[0] if key != "damage"]
    damaged = [line for line in of_damages if not line["damage"].startswith(WHOLE)]
    rows = []
    for line in of_damages:
        wrong = REFUSED if line["damage"].startswith(WHOLE) else ACCEPTED
        rows.append([line["damage"], *(f"**{line[key]}**" if line[key] == wrong else line[key] for key in columns)])
    counts = []
    for column in columns:
        looked = [line[column] for line in damaged if line[column] != NONE]
        counts.append(f"{looked.count(ACCEPTED)} of {len(looked)}" if looked else NONE)
    return table(["damage", *columns], [*rows, ["**accepted though damaged**", *counts]])
