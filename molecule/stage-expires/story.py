"""A rollout that wants approvals dies in mid-bake. Every host falls back by itself, and the next run resumes."""

from tests.support import fleet, shares
from tests.support.manifests import ENOUGH, release
from tests.support.story import Story
from tests.support.waiting import until


def certified_everywhere() -> bool:
    """Whether every process of every host gives the features to about a quarter of its fixed ids again."""
    return all(share < 0.4 for host in fleet.HOSTS for _, share in fleet.look(host)["shares"])


WITH_APPROVAL = [*release("epic21", approval=True), *ENOUGH]

with Story("stage-expires") as story:
    story.begin_load()
    play = story.launch("deploy.yml", *WITH_APPROVAL)
    story.wait_for(play, "stage.certified", percent=25)
    quarter = shares.measure(shares.USERS[:1000])
    story.play("playbooks/approve.yml")
    story.wait_for(play, "gate.looked", percent=50)
    play.kill()
    story.finish(play)
    half = shares.measure(shares.USERS[:1000])
    with story.measured("expired_after_seconds"):
        until(certified_everywhere, "every host has fallen back to 25 %", every=1)
    after = shares.measure(shares.USERS[:1000])
    story.note(
        "shares",
        {
            name: {flag: sorted(users) for flag, users in seen.items()}
            for name, seen in (("quarter", quarter), ("half", half), ("after", after))
        },
    )
    play = story.launch("deploy.yml", *WITH_APPROVAL)
    story.wait_for(play, "stage.certified", percent=50)
    story.play("playbooks/approve.yml")
    story.finish(play)
    story.end_load()
