"""The first host was compared with the others on what users did, before these got the new code."""

from __future__ import annotations

from tests.support import fleet
from tests.support.seen import Seen
from tests.support.users import HEAVY


def test_it_was_watched_before_the_others_followed(story: Seen) -> None:
    began = story.once("canary.began")
    assert (began["host"], began["control"]) == (fleet.HOSTS[0], list(fleet.HOSTS[1:]))
    order = [
        line["event"] for line in story.events if line["event"] in ("host.drained", "canary.began", "canary.passed")
    ]
    assert order == ["host.drained", "canary.began", "canary.passed", "host.drained", "host.drained"]


def test_every_look_saw_users_of_both_and_nobody_else(story: Seen) -> None:
    wanted = story.once("rollout.started")["manifest"]["bake"]["canary"]
    looks = [line["data"] for line in story.happened("canary.looked")]
    assert len(looks) >= 2
    assert looks[-1]["verdict"] in ("continue", "promote")
    assert wanted <= looks[-1]["elapsed"] < 1.5 * wanted + 5
    for metric in looks[-1]["metrics"]:
        seen = metric["treatment"]["events"], metric["control"]["events"]
        assert min(seen) > 0
        assert sum(seen) <= 1.3 * HEAVY * looks[-1]["elapsed"], (
            "more than users asked for: checks and scrapes must not count"
        )


def test_the_report_says_so(story: Seen) -> None:
    assert "app1 had the new code first" in (story.directory / "reports" / story.rollouts[-1] / "report.md").read_text()
