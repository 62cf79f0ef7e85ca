"""Deploys 2.0.1, whose recommendations fail for part of their users."""

from tests.support.manifests import release
from tests.support.story import Story

with Story("erring-feature") as story:
    story.begin_load()
    story.play("deploy.yml", *release("epic21-errors"))
    story.end_load()
