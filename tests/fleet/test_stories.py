"""Every Molecule scenario, one after the other on the fleet `test`; each is a story of its own.

The order saves time: the stories that begin where the good release ended follow it, and the last one ends where other tests begin.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import fleet, prepare
from tests.support.seen import COLOURS

ORDER = ["good-release", "same-release-again", "rollback", "does-not-start", "never-ready", "failing-migration",
         "erring-feature", "slow-feature", "shared-incident", "prometheus-stops", "host-lost-in-release", "host-lost-in-ramp", "database",
         "stage-expires"]


def test_every_scenario_is_played() -> None:
    assert sorted(ORDER) == sorted(path.parent.name for path in (fleet.HOME / "molecule").glob("*/molecule.yml"))


@pytest.fixture(scope="module", autouse=True)
def _fleet() -> None:
    prepare.up()


@pytest.mark.parametrize("story", ORDER)
def test_story(story: str) -> None:
    """Play the story and hold it against what must be seen; on failure the scenario's own output says what was wrong."""
    environment = {**fleet.clean_environment(), "NO_COLOR": "1", "COLUMNS": "160"}
    done = subprocess.run([fleet.binaries() / "molecule", "test", "--scenario-name", story, "--destroy", "never", "--no-command-borders"],
                          cwd=fleet.HOME, env=environment, capture_output=True, text=True, check=False)
    sys.stdout.write(COLOURS.sub("", done.stdout + done.stderr))
    assert done.returncode == 0, f"the story {story} went wrong: see above, and .gradual/stories/{story}/"
