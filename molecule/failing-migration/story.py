"""Deploys 2.0.4, whose last migration fails halfway."""

from tests.support.manifests import release
from tests.support.story import Story

with Story("failing-migration") as story:
    story.begin_load()
    story.play("deploy.yml", *release("epic21-bad-migration"))
    story.end_load()
