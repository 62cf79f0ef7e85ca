"""app3 is cut off in the middle of a bake; later it is connected again and a second deploy.yml finishes the rollout."""

from tests.support import fleet
from tests.support.manifests import GOOD
from tests.support.story import Story
from tests.support.waiting import until


def shares_of_app3() -> list[float]:
    return [share for _, share in fleet.look("app3")["shares"]]


with Story("host-lost-in-ramp") as story:
    story.begin_load()
    play = story.launch("deploy.yml", *GOOD)
    story.wait_for(play, "stage.measured", percent=25)
    story.fault("disconnect", "app3")
    with story.measured("alone_until_off_seconds"):
        until(lambda: not any(shares_of_app3()), "the stage has expired on app3, which nobody can reach", every=1)
    story.finish(play)
    story.snapshot("without app3")
    story.fault("connect", "app3")
    story.play("deploy.yml", *GOOD)
    story.end_load()
