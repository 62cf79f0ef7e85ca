"""Deploys 2.0.1, whose recommendations fail for part of their users; two of three hosts may be out of traffic at
once."""

from tests.support.manifests import SHORT, release
from tests.support.story import Story

# The traffic of the A/A stage predicts when the harm must have been stopped.
BAKE = {**SHORT["bake"], "aa": 20}

with Story("erring-feature") as story:
    story.begin_load()
    story.play("deploy.yml", *release("epic21-errors", bake=BAKE), "-e", "min_in_traffic=1")
    story.end_load()
