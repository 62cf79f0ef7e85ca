"""Users and hosts of a trace, summed up to what the arms are made of.

Requests leave as Poisson processes, so those of any set of users are one Poisson process, and its bad ones another: the
sums of the users'
rates are all that a simulation needs. Only those whose rate changes of its own accord, the bursty ones, are kept apart.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from .scenarios import SPELLS, Scenario

Floats = npt.NDArray[np.float64]

USERS = 5000
GROUPS = 3
# Shares of the users who have the feature from 25 % on, from 50 % on, and never.
SPLIT = (0.25, 0.25, 0.5)
HOSTS = 8
HOST_GROUPS = np.array([0, 0, 1, 1, 2, 2, 2, 2])
ACTIVITY_SPREAD, PRONENESS_SPREAD = 1.0, 0.5
# In a crowd: activity falls as rank ** -0.8, so the first user sends 4 % and the first 20 send 20 % of all requests.
ZIPF, CROWD_PRONENESS_SPREAD, BURSTY = 0.8, 1.0, 20
BAD_HOST = 5.0
HOST_TRAFFIC_SPREAD = 0.1
# Bursts are followed at this step, seconds.
STEP = 10.0


@dataclasses.dataclass
class Population:
    """Multiples of the trace's rate and base share; r: trace, g: group of users, h: host, k: bursty user."""

    steady: Floats
    """(r, g): share of the requests."""
    proneness: Floats
    """(r, g): bad share of these as a multiple of the base share."""
    client: Floats
    """(r, k): share of the requests, on average over time."""
    client_proneness: Floats
    """(r, k)"""
    client_group: npt.NDArray[np.int64]
    """(r, k)"""
    spells: tuple[float, float] | None
    hosts: Floats
    """(r, g, h): share of the group's requests that a host answers, summing to 1 over h; with host cohorts a group has
    its own hosts only."""
    host_proneness: Floats
    """(r, h)"""


def populate(scenario: Scenario, traces: int, random: np.random.Generator) -> Population:
    """Users with hash cohorts and hosts, anew for each trace."""
    hosts, host_proneness, host_share = _hosts(scenario, traces, random)
    if scenario.host_cohorts:
        one = np.ones((traces, GROUPS))
        none = np.zeros((traces, 0))
        return Population(host_share, one, none, none, none.astype(np.int64), None, hosts, host_proneness)
    spread = CROWD_PRONENESS_SPREAD if scenario.crowd else PRONENESS_SPREAD
    if scenario.crowd:
        activity = np.broadcast_to(np.arange(1.0, USERS + 1) ** -ZIPF, (traces, USERS))
    else:
        activity = random.lognormal(0.0, ACTIVITY_SPREAD, (traces, USERS))
    activity = activity / activity.sum(axis=1, keepdims=True)
    proneness = random.lognormal(-(spread**2) / 2, spread, (traces, USERS))
    group = np.searchsorted(np.cumsum(SPLIT)[:-1], random.random((traces, USERS)), side="right")
    apart = BURSTY if scenario.crowd else 0
    pooled, weighted = np.zeros((traces, GROUPS)), np.zeros((traces, GROUPS))
    for each in range(GROUPS):
        inside = (group[:, apart:] == each) * activity[:, apart:]
        pooled[:, each] = inside.sum(axis=1)
        weighted[:, each] = (inside * proneness[:, apart:]).sum(axis=1)
    spells = SPELLS if scenario.crowd else None
    client, client_proneness, client_group = activity[:, :apart], proneness[:, :apart], group[:, :apart]
    if scenario.client is not None:
        named, spells = scenario.client, scenario.client.spells
        client = np.full((traces, 1), named.share)
        client_proneness = np.full((traces, 1), named.proneness)
        client_group = np.full((traces, 1), named.group)
        pooled, weighted = pooled * (1 - named.share), weighted * (1 - named.share)
    return Population(pooled, weighted / pooled, client, client_proneness, client_group, spells, hosts, host_proneness)


def _hosts(scenario: Scenario, traces: int, random: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """(share of a group's requests at each host (r, g, h), error multiple of each host (r, h), share of all requests of
    each host group (r, g))."""
    traffic = random.lognormal(0.0, HOST_TRAFFIC_SPREAD, (traces, HOSTS))
    traffic /= traffic.sum(axis=1, keepdims=True)
    proneness = random.lognormal(-(scenario.host_spread**2) / 2, scenario.host_spread, (traces, HOSTS))
    if scenario.bad_host is not None:
        proneness[:, scenario.bad_host] *= BAD_HOST
    if not scenario.host_cohorts:
        return np.repeat(traffic[:, None, :], GROUPS, axis=1), proneness, np.zeros((traces, GROUPS))
    own = traffic[:, None, :] * (HOST_GROUPS[None, :] == np.arange(GROUPS)[:, None])[None]
    share = own.sum(axis=2)
    return own / share[:, :, None], proneness, share


def active(population: Population, looks: int, interval: float, random: np.random.Generator) -> Floats:
    """How much of their average traffic the clients send in each look, (r, look, k); 1 for steady ones.

    A bursty client is a two-state Markov process in continuous time, followed in steps of at most 10 s; active, it
    sends
    (active + idle) / active times its average.
    """
    traces, clients = population.client.shape
    if population.spells is None:
        return np.ones((traces, looks, clients))
    on, off = population.spells
    steps = max(1, round(interval / STEP))
    step = interval / steps
    leave_on, leave_off = -np.expm1(-step / on), -np.expm1(-step / off)
    state = random.random((traces, clients)) < on / (on + off)
    out = np.zeros((traces, looks, clients))
    for look in range(looks):
        for _step in range(steps):
            out[:, look] += state
            state = state ^ (random.random((traces, clients)) < np.where(state, leave_on, leave_off))
    return out * (on + off) / on / steps
