"""The fixtures of all tests that run single playbooks on a fleet; in one place, so that the runs of a session are
numbered once."""

from tests.support.fixtures import baseline, finished, run

__all__ = ["baseline", "finished", "run"]
