"""What the backup bench computes from what it saw."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.bench import backups, rows
from tests.bench.takings import RESTORED, WAYS, Site, size
from tests.database.server import Server, Shop

MANY = {"tables": 5000, "ours": [14.0, 90.0, 14.0], "raw": [10.0] * 3, "level": "sound", "proven": 60.0}


def taken(seconds: float, **parts: float) -> dict[str, Any]:
    return {"seconds": seconds, "mib": 150.0, "parts": parts}


def results(**changes: Any) -> dict[str, Any]:
    """Every way in 3 rounds; ours take a tenth longer than the raw tools."""
    rounds = {
        name: [taken(11.0, digest=2.0, dump=8.0)] * 3 if way.raw else [taken(10.0)] * 3 for name, way in WAYS.items()
    }
    proven = {
        "intact": 0.5,
        "readable": 4.0,
        "drill_restore": 30.0,
        "drill_compare": 2.0,
        "restored": 32.0,
        "drill_amcheck": 5.0,
        "sound": 5.0,
    }
    return {
        "conditions": "here",
        "mib": 1100,
        "rounds": 3,
        "seed": 1,
        "taken": {**rounds, **changes.pop("taken", {})},
        "proven": {name: [{"level": "sound", **proven}] for name, way in WAYS.items() if way.raw},
        "left_out": [],
        "many": MANY,
        "restored": {"pg_dump-custom": [28.0], "pg_basebackup": []},
        **changes,
    }


def test_every_check_holds_for_what_should_be_seen() -> None:
    assert [claim for holds, claim, _seen in backups.check(results()) if not holds] == []


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"mib": 999}, "1000 MiB or more"),
        ({"taken": {"pg_dump-default": [taken(10.0)] * 2}}, "3 rounds or more"),
        ({"left_out": ["pgbackrest"]}, "left out"),
        ({"taken": {"custom": [taken(12.1)] * 3}}, "one file: taking costs"),
        ({"proven": {"directory": [{"level": "readable"}]}}, "2 jobs: each one that was proven is sound"),
        ({"proven": {"basebackup": []}}, "basebackup: each one that was proven is sound"),
        ({"many": {**MANY, "ours": [15.1] * 3}}, "5,000 tables or more: taking costs ≤ 1.5 ×"),
        ({"many": {**MANY, "tables": 4999}}, "5,000 tables or more"),
        ({"many": {**MANY, "level": "restored"}}, "many tables: the backup is sound"),
    ],
)
def test_what_should_not_be_seen_is_told(changes: dict[str, Any], what: str) -> None:
    broken = [claim for holds, claim, _seen in backups.check(results(**changes)) if not holds]
    assert len(broken) == 1
    assert what in broken[0]


def test_a_ratio_is_of_medians_so_one_slow_round_says_nothing() -> None:
    found = backups.ratios(results(taken={"custom": [taken(11.0), taken(99.0), taken(11.0)]})["taken"])
    assert found == {name: pytest.approx(1.1) for name, way in WAYS.items() if way.raw}


def test_medians_leave_out_what_is_no_number_or_not_in_every_round() -> None:
    assert backups.medians([{"a": 1, "b": 2, "level": "x"}, {"a": 3, "level": "x"}]) == {"a": 2}  # type: ignore[dict-item]
    assert backups.medians([]) == {}


def test_the_page_has_every_way_once_and_says_what_was_left_out() -> None:
    text = backups.page(results(), "bench-backup/results.json")
    assert "| Gradual: dump, one file | 11.0 s | 11.0 to 11.0 | 1.10 | 150 MiB |" in text
    assert "| Gradual: basebackup | 0.5 s | 4.0 s | 32.0 s | 5.0 s | 30.0 s | 2.0 s | 5.0 s |" in text
    assert "digest 2.0, dump 8.0" in text
    assert "- Gradual: dump, one file: 2.0 s; taken and digested after 13.0 s\n" in text
    assert "| pg_dump -Fc -Z1, pg_restore --create -j2 | 28.0 s |" in text
    assert "cp -a and start" not in text
    assert "- ratio: 1.40\n- proving it to the level sound: 60.0 s\n\n## Proving" in text
    assert "**no**" not in text
    assert "Left out" not in text
    assert "Left out of this run: pgbackrest." in backups.page(results(left_out=["pgbackrest"]), "x")


def test_ours_is_held_against_a_raw_tool_that_is_measured() -> None:
    assert all(WAYS[way.raw].raw == "" for way in WAYS.values() if way.raw)
    assert set(backups.RAW_RESTORES) == set(RESTORED)


def test_raw_tools_get_the_settings_that_their_titles_say(tmp_path: Path) -> None:
    site = Site(Shop(Server(tmp_path, 5433), "shop", tmp_path))
    argv = site.command("pg_dump-directory")
    assert argv[1:4] == ["--format=directory", "--jobs=2", "--compress=1"]
    assert argv[-1] == "shop"
    assert "--manifest-checksums=SHA256" in site.command("pg_basebackup")
    assert "--manifest-checksums=SHA256" not in site.command("pg_basebackup-default")
    assert "--compress=1" not in site.command("pg_dump-default")
    assert site.command("postgresql_db")[2].endswith("--format=c > " + str(tmp_path / "raw" / "backup.pgc"))


def test_sizes_of_files_and_of_folders(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_bytes(b"12345")
    (tmp_path / "a" / "d").write_bytes(b"1")
    assert (size(tmp_path), size(tmp_path / "a" / "d")) == (6, 1)


def test_as_many_rows_as_megabytes_ask_for() -> None:
    text = rows.statements(100)
    assert "generate_series(1, 130000) i" in text
    # Nothing is left to be filled in; a cast has two colons.
    assert re.findall(r"(?<!:):[a-z]\w*", text) == []
