"""Rolls a finished rollout back: in check mode, for real, and once more."""

from tests.support.story import Story

with Story("rollback", begins="2.0.0") as story:
    story.begin_load()
    story.play("rollback.yml", "--check", "--diff")
    story.snapshot("checked")
    story.play("rollback.yml")
    story.snapshot("returned")
    story.play("rollback.yml")
    story.end_load()
