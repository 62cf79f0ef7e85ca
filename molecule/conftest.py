"""Fixtures of the scenarios' tests: `story` is what the story left behind, `host` is the host of a role scenario."""

from __future__ import annotations

import os
import shlex

import pytest
import testinfra
from testinfra.host import Host

from tests.support import fleet
from tests.support.seen import Seen


@pytest.fixture(scope="module")
def story(request: pytest.FixtureRequest) -> Seen:
    return Seen.of(request.path.parent.name)


@pytest.fixture(scope="module")
def host() -> Host:
    """The host $GRADUAL_HOST of the fleet, through SSH as Ansible reaches it."""
    name, state = os.environ["GRADUAL_HOST"], fleet.HOME / ".sandbox"
    known = shlex.quote(f"UserKnownHostsFile={state / fleet.NAME / 'known_hosts'}")
    address = fleet.addresses()[name]
    return testinfra.get_host(
        f"ssh://deploy@{address}",
        sudo=True,
        ssh_identity_file=str(state / "ssh" / "id_ed25519"),
        ssh_extra_args=f"-o {known} -o IdentitiesOnly=yes",
    )
