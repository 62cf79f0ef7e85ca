"""${message}"""

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
phase = "contract"  # "expand" once it is known that the release before runs on it


def upgrade():
    ${upgrades if upgrades else "pass"}
