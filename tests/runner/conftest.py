"""One playbook at a time through ansible-runner on a fleet of the tests, as AWX would run it."""

from tests.support.fixtures import baseline, finished, run

__all__ = ["baseline", "finished", "run"]
