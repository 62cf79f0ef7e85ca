"""Roles and playbooks on this machine alone: no fleet, no service."""
