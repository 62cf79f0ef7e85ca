"""Deploys 2.0.3, which does not start."""

from tests.support.manifests import release
from tests.support.story import Story

with Story("does-not-start") as story:
    story.begin_load()
    story.play("deploy.yml", *release("epic21-no-start"), "-e", "release_ready_timeout_seconds=15")
    story.end_load()
