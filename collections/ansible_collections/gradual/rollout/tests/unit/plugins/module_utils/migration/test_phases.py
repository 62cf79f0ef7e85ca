"""Which pending revisions a phase applies now."""

from __future__ import annotations

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.migration.interface import Revision
from ansible_collections.gradual.rollout.plugins.module_utils.migration.phases import split
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError


def revisions(*phases: str) -> list[Revision]:
    return [Revision(str(number), (), phase, "", False, f"{number}.py") for number, phase in enumerate(phases)]


@pytest.mark.parametrize(
    ("phases", "asked", "applied", "left"),
    [
        (["expand", "expand"], "expand", 2, 0),
        (["expand", "contract"], "expand", 1, 1),
        (["expand", "data", "contract"], "expand", 1, 2),
        (["contract"], "expand", 0, 1),
        ([], "expand", 0, 0),
        (["expand", "contract", "unknown", "expand"], "contract", 4, 0),
    ],
)
def test_expand_applies_what_leads_up_to_another_phase(phases: list[str], asked: str, applied: int, left: int) -> None:
    now, later = split(revisions(*phases), asked)
    assert (len(now), len(later)) == (applied, left)


@pytest.mark.parametrize(
    ("phases", "complaint"),
    [
        (["unknown"], '0.py does not name its phase.*write phase = "expand"'),
        (["expand", "contract", "unknown"], "2.py does not name its phase"),
        (
            ["expand", "contract", "expand"],
            r"2 \(2.py\) is an expand revision, but it comes after 1, whose phase is contract",
        ),
    ],
)
def test_expand_refuses_what_it_would_have_to_skip_or_guess(phases: list[str], complaint: str) -> None:
    with pytest.raises(DatabaseError, match=complaint):
        split(revisions(*phases), "expand")
