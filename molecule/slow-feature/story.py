"""Deploys 2.0.2, whose search takes a second more."""

from tests.support.manifests import release
from tests.support.story import Story

with Story("slow-feature") as story:
    story.begin_load()
    story.play("deploy.yml", *release("epic21-slow"))
    story.end_load()
