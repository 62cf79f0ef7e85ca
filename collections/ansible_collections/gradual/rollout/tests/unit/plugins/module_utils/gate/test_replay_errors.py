"""Replay of what makes no sense: one sentence with the place, the value and what to write; status 2; nothing on
stdout."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.gate import replay
from ansible_collections.gradual.rollout.plugins.module_utils.gate.settings import GateError
from ansible_collections.gradual.rollout.tests.unit.places import COLLECTIONS
from hypothesis import given, settings
from hypothesis import strategies as st

GOOD = {"treatment": {"events": 250, "bad": 2}, "control": {"events": 750, "bad": 6}}


def with_stages(*stages: Any) -> Any:
    """A document whose first trace is right and whose second has these stages."""
    return {
        "interval_seconds": 10,
        "traces": [
            {"name": "first", "stages": [{"percent": 25, "looks": [GOOD]}]},
            {"name": "second", "stages": list(stages)},
        ],
    }


def with_look(look: Any) -> Any:
    return with_stages({"percent": 25, "looks": [GOOD, look]})


def arms(treatment: Any, control: Any) -> Any:
    return {"treatment": treatment, "control": control}


WRITE_LOOK = '; write null or {"treatment": {"events": n, "bad": b}, "control": {…}}, 0 <= b <= n'
WRONG: list[tuple[str, Any, str]] = [
    ("a list", [1, 2], 'the counts hold [1, 2]; write {"interval_seconds": s, "traces": [{"name", "stages"}]}'),
    ("no traces", {"interval_seconds": 10}, "the counts hold {'interval_seconds': 10}; write"),
    ("a trace is no mapping", {"interval_seconds": 10, "traces": [3]}, "write {"),
    ("no interval", {"traces": []}, "interval_seconds is None; write the seconds between two looks"),
    ("no time", {"interval_seconds": 0, "traces": []}, "interval_seconds is 0; write"),
    ("a text for the interval", {"interval_seconds": "10", "traces": []}, "interval_seconds is '10'; write"),
    ("an endless interval", '{"interval_seconds": Infinity, "traces": []}', "interval_seconds is inf; write"),
    ("no number for the interval", '{"interval_seconds": NaN, "traces": []}', "interval_seconds is nan; write"),
    ("no stage", with_stages(), "trace second: stages is []; write a list of at least one stage"),
    (
        "a stage is no mapping",
        with_stages(25),
        "trace second, stage 1: percent is None; write a number above 0 and up to 100",
    ),
    (
        "no percent",
        with_stages({"percent": 25, "looks": []}, {"looks": []}),
        "trace second, stage 2: percent is None; write",
    ),
    ("nobody", with_stages({"percent": 0}), "trace second, stage 1: percent is 0; write"),
    ("more than all", with_stages({"percent": 101}), "trace second, stage 1: percent is 101; write"),
    (
        "looks are a number",
        with_stages({"percent": 25, "looks": 5}),
        "trace second, stage 25: its looks are 5; write a list of looks",
    ),
    (
        "an A/A that is none",
        with_stages({"percent": 25, "looks": [GOOD], "aa": {}}),
        "trace second, stage 25, aa: its looks are {}; write a list of looks",
    ),
    ("a look is a number", with_look(5), f"trace second, stage 25, look 2 is 5{WRITE_LOOK}"),
    (
        "no treatment",
        with_look({"control": {"events": 1, "bad": 0}}),
        f'look 2 is {{"control": {{"events": 1, "bad": 0}}}}{WRITE_LOOK}',
    ),
    ("an arm is a list", with_look(arms(GOOD["treatment"], [750, 6])), WRITE_LOOK),
    ("an arm is a text", with_look(arms(GOOD["treatment"], "none")), WRITE_LOOK),
    ("more bad ones than events", with_look(arms({"events": 5, "bad": 6}, GOOD["control"])), WRITE_LOOK),
    ("fewer than none", with_look(arms({"events": 5, "bad": -1}, GOOD["control"])), WRITE_LOOK),
    ("no bad ones told", with_look(arms({"events": 5}, GOOD["control"])), WRITE_LOOK),
    ("too many to count", with_look(arms({"events": 10**30, "bad": 0}, GOOD["control"])), WRITE_LOOK),
    (
        "wrong in the A/A",
        with_stages({"percent": 25, "looks": [GOOD], "aa": [None, {}]}),
        "trace second, stage 25, aa, look 2 is {}; write",
    ),
    ("no JSON", "{", "counts.json cannot be read: "),
    ("no text", b"\xff\xfe", "counts.json cannot be read: "),
]


def refused(capsys: pytest.CaptureFixture[str], *paths: Path) -> str:
    """The one sentence."""
    assert replay.main([str(path) for path in paths]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("replay: ")
    assert told.err.count("\n") == 1
    return told.err


@pytest.mark.parametrize(("document", "message"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
def test_wrong_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str], document: Any, message: str) -> None:
    path = tmp_path / "counts.json"
    if isinstance(document, bytes):
        path.write_bytes(document)
    else:
        path.write_text(document if isinstance(document, str) else json.dumps(document))
    assert message in refused(capsys, path)


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ("alhpa: 0.05\n", "gate: alhpa: no such setting; write one of alpha, certify_alpha, "),
        ("gate: {alpha: 0.05, marign: 3}\n", "gate: marign: no such setting"),
        ("bake: {minimum: 3}\n", "gate: minimum: no such setting"),
        ("alpha: 5\n", "gate: alpha is 5; write a number between 0 and 1"),
        ("bake: {min: 60, max: 30}\n", "bake: min is 60 and max 30; write 0 < min <= max"),
        ("gate: {alpha: 0.05}\nbake: [3]\n", "as gate and [3] as bake; write a mapping of settings in each"),
        ("- alpha\n", "the gate file holds ['alpha']; write a mapping of settings, as gate in a manifest"),
        ("alpha: [\n", "is no YAML: "),
    ],
)
def test_wrong_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str], gate: str, message: str) -> None:
    counts, path = tmp_path / "counts.json", tmp_path / "gate.yml"
    counts.write_text(json.dumps(with_look(GOOD)))
    path.write_text(gate)
    assert message in refused(capsys, counts, path)


def test_files_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = tmp_path / "counts.json"
    assert "counts.json cannot be read: " in refused(capsys, counts)
    counts.write_text(json.dumps(with_look(GOOD)))
    assert "gate.yml cannot be read: " in refused(capsys, counts, tmp_path / "gate.yml")


def test_the_command_itself_says_so_and_ends_with_two(tmp_path: Path) -> None:
    path = tmp_path / "counts.json"
    path.write_text(json.dumps(with_look(5)))
    command = [sys.executable, "-m", "ansible_collections.gradual.rollout.plugins.module_utils.gate.replay", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=COLLECTIONS)
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        f"replay: trace second, stage 25, look 2 is 5{WRITE_LOOK}\n",
    )


def refusal(what: Callable[[], Any]) -> str | None:
    """The sentence of the GateError that it raises, None when it works; anything else that it raises goes on."""
    try:
        what()
    except GateError as error:
        return str(error)
    return None


number = st.none() | st.booleans() | st.integers() | st.floats() | st.just(10**400)
anything = st.recursive(
    number | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
arm = anything | st.fixed_dictionaries({"events": number, "bad": number}) | st.just({"events": 50, "bad": 1})
some_look = anything | st.fixed_dictionaries({"treatment": arm}, optional={"control": arm}) | st.just(GOOD)
some_stage = anything | st.fixed_dictionaries(
    {"percent": number | st.just(25)},
    optional=dict.fromkeys(("looks", "aa"), anything | st.lists(some_look, max_size=4)),
)
some_trace = anything | st.fixed_dictionaries({"name": anything, "stages": anything | st.lists(some_stage, max_size=3)})


@given(
    anything
    | st.fixed_dictionaries(
        {"interval_seconds": number | st.just(10), "traces": anything | st.lists(some_trace, max_size=2)}
    )
)
@settings(max_examples=200, deadline=None)
def test_any_document_gives_lines_or_one_sentence(document: Any) -> None:
    error = refusal(lambda: [json.loads(line) for line in replay.lines(document, replay.settings_of({}))])
    assert error is None or "; write " in error


@given(
    anything
    | st.dictionaries(
        st.sampled_from(["gate", "bake", "alpha", "min", "margin"]),
        anything | st.dictionaries(st.text(max_size=4), anything),
    )
)
@settings(max_examples=200, deadline=None)
def test_any_gate_file_gives_settings_or_one_sentence(document: Any) -> None:
    error = refusal(lambda: replay.settings_of(document))
    assert error is None or "; write " in error
