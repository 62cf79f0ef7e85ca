"""The database makes all users wait for a while, with and without the features, in the middle of a bake."""

from tests.support import fleet
from tests.support.manifests import SHORT, release
from tests.support.story import Story, now

# For 20 seconds, nobody can read a product during 1.5 of every 2.5 seconds. Whether a request has to wait is a matter
# of when
# it comes, not of how many statements it takes, so a feature that reads more often does not wait more often.
INCIDENT = """
DO $$ BEGIN
  FOR turn IN 1..8 LOOP
    LOCK TABLE products IN ACCESS EXCLUSIVE MODE;
    PERFORM pg_sleep(1.5);
    COMMIT;
    PERFORM pg_sleep(1.0);
  END LOOP;
END $$"""
# The time of the incident is part of the stage, so its slow answers are no harm in so short a one.
GATE = {**SHORT["gate"], "harmless_share": 0.3}
# What everybody has to wait now is compared with what they had to wait in the A/A stage.
BAKE = {**SHORT["bake"], "aa": 20, "min": 20}

with Story("shared-incident") as story:
    story.begin_load()
    play = story.launch("deploy.yml", *release("epic21", bake=BAKE, gate=GATE, stages=[25, 100]))
    story.wait_for(play, "gate.looked", percent=25)
    began = now()
    fleet.query(INCIDENT)
    story.note("incident", {"began": began, "ended": now()})
    story.finish(play)
    story.end_load()
