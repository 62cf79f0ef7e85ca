"""Every Molecule scenario; each is a story of its own. With two fleets (`make stories`) each plays the next that nobody
plays yet."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support import fleet, prepare
from tests.support.seen import COLOURS

# Those that begin where another one ends are played after it, on the same fleet. The longest stand first: two fleets
# are then done together.
GROUPS = {
    "good-release": ["good-release", "same-release-again", "rollback"],
    **{
        name: [name]
        for name in [
            "stage-expires",
            "database",
            "host-lost-in-ramp",
            "prometheus-stops",
            "shared-incident",
            "slow-feature",
            "erring-feature",
            "host-lost-in-release",
            "host-lost-in-wave",
            "does-not-start",
            "never-ready",
            "failing-migration",
        ]
    },
}
STORIES = [
    pytest.param(story, marks=pytest.mark.xdist_group(group)) for group, stories in GROUPS.items() for story in stories
]


def test_every_scenario_is_played() -> None:
    played = [story for stories in GROUPS.values() for story in stories]
    scenarios = {path.parent.name for path in (fleet.HOME / "molecule").glob("*/molecule.yml")}
    assert sorted(played) == sorted(name for name in scenarios if not name.startswith("role-"))


@pytest.fixture(scope="module", autouse=True)
def _fleet() -> None:
    prepare.up()


@pytest.mark.parametrize("story", STORIES)
def test_story(story: str) -> None:
    """Play the story and hold it against what must be seen; on failure the scenario's own output says what was
    wrong."""
    environment = {**fleet.clean_environment(), "NO_COLOR": "1", "COLUMNS": "160"}
    done = subprocess.run(
        [fleet.binaries() / "molecule", "test", "--scenario-name", story, "--destroy", "never", "--no-command-borders"],
        cwd=fleet.HOME,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    sys.stdout.write(COLOURS.sub("", done.stdout + done.stderr))
    assert done.returncode == 0, f"the story {story} went wrong: see above, and .gradual/stories/{story}/"
