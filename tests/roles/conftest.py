"""Fixtures of the tests of roles and playbooks on this machine."""

from tests.roles.own_host import host

__all__ = ["host"]
