"""Deploys 2.0.0 to 100 % as AWX would, at -vvv, while users shop and other eyes measure who has the features."""

from tests.support import fleet, secrets, shares
from tests.support.manifests import ENOUGH, WHOLE
from tests.support.story import Story
from tests.support.users import HEAVY

with Story("good-release") as story:
    story.begin_load(HEAVY)
    with secrets.Processes() as processes:
        play = story.launch(
            "deploy.yml", *WHOLE, *ENOUGH, verbosity=3, venv=".venv-3.12" if fleet.has_newer_ansible() else ".venv"
        )
        measured = {}
        for percent in (25, 50, 100):
            story.wait_for(play, "stage.set", percent=percent)
            measured[percent] = {flag: sorted(users) for flag, users in shares.measure().items()}
            story.note(
                "still", {**story.record.get("still", {}), percent: story.events.last("stage.set")["data"]["percent"]}
            )
        story.note("status", story.finish(play))
    story.end_load()
    story.note("shares", measured)
    story.note("commands", len(processes.commands))
    story.note("leaked", processes.leaked())
