"""app2 loses its power while app2 and app3 are switched at once; later it starts again and rollback.yml brings it in
line."""

from tests.support.manifests import GOOD
from tests.support.story import Story

with Story("host-lost-in-wave") as story:
    story.begin_load()
    play = story.launch("deploy.yml", *GOOD, "-e", "min_in_traffic=1")
    story.wait_for(play, "host.drained", host="app2")
    story.fault("kill", "app2")
    story.finish(play)
    story.snapshot("without app2")
    story.fault("start", "app2")
    story.play("rollback.yml", "-e", "min_in_traffic=1")
    story.end_load()
