"""Prometheus is stopped in the middle of a bake and started again; in the next stage it is stopped for good."""

from tests.support.manifests import SHORT, release
from tests.support.story import Story

# A hold may last 40 seconds. Where nobody looks at figures, nobody needs a comparison with the features off.
BAKE = {**SHORT["bake"], "aa": 0, "min": 15, "max": 60, "deadline": 40}
GATE = {**SHORT["gate"], "min_requests": 30}

with Story("prometheus-stops") as story:
    story.begin_load()
    play = story.launch("deploy.yml", *release("epic21", bake=BAKE, gate=GATE))
    story.wait_for(play, "gate.looked", percent=25, look=2)
    story.service("stop", "mon1", "prometheus")
    story.wait_for(play, "gate.looked", percent=25, verdict="hold")
    story.service("start", "mon1", "prometheus")
    story.wait_for(play, "stage.set", percent=50)
    story.service("stop", "mon1", "prometheus")
    story.finish(play)
    story.end_load()
