"""Deploys 2.0.5, which starts but never becomes ready."""

from tests.support.manifests import release
from tests.support.story import Story

with Story("never-ready") as story:
    story.begin_load()
    story.play("deploy.yml", *release("epic21-not-ready"), "-e", "release_ready_timeout_seconds=15")
    story.end_load()
