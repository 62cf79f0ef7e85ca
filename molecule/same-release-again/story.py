"""Deploys a release that has been rolled out already."""

from tests.support.manifests import GOOD
from tests.support.story import Story

with Story("same-release-again", begins="2.0.0") as story:
    story.begin_load()
    story.play("deploy.yml", *GOOD)
    story.end_load()
