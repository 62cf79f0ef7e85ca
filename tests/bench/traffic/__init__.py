"""Simulated ramps for the gate benchmark: users, hosts, waves, incidents, features that do harm, scrapes that fail."""

from .replaying import document, trace
from .scenarios import SCENARIOS, Scenario
from .simulate import BASE_SHARE, BASE_SLOW_SHARE, PERCENTS, Batch, Phase, Shape, shape_for, simulate

__all__ = [
    "BASE_SHARE",
    "BASE_SLOW_SHARE",
    "PERCENTS",
    "SCENARIOS",
    "Batch",
    "Phase",
    "Scenario",
    "Shape",
    "document",
    "shape_for",
    "simulate",
    "trace",
]
