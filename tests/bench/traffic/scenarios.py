"""What happens in a simulated ramp, by cause: who the users and hosts are, what strikes both arms, what the feature
does, what is not scraped."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

# Seconds of a spell in which a bursty user is active, and of the idleness between two, on average.
SPELLS = (120.0, 180.0)


@dataclasses.dataclass(frozen=True)
class Client:
    """One user who sends much and fails much, whatever the release is."""

    group: int
    """0: among the first 25 %, 1: joins at 50 %, 2: stays without the feature."""
    share: float = 0.05
    """Share of all requests, on average over time."""
    proneness: float = 10.0
    """Error share of this user as a multiple of everybody else's."""
    spells: tuple[float, float] | None = None
    """Mean seconds (active, idle); None: steady. An active spell carries the traffic of the idle one too."""


@dataclasses.dataclass(frozen=True)
class Wave:
    """Traffic and base share swing as sines, each with a phase of its own in each trace."""

    period: float
    """Seconds, or multiples of the whole trace where it is below 100."""
    least: float = 0.5
    most: float = 0.8
    """The amplitude is drawn between these, for traffic and share separately."""


@dataclasses.dataclass(frozen=True)
class Incident:
    """Something beside the release that hits everybody: bad share = share * times + plus."""

    times: float = 1.0
    plus: float = 0.0
    in_aa: bool = False
    """True: it is going on when the A/A stage ends; False: one in each stage, in its first third."""
    seconds: tuple[float, float] = (120.0, 300.0)


@dataclasses.dataclass(frozen=True)
class Effect:
    """What the feature does to the requests of who has it."""

    times: float = 1.0
    """Multiple of the bad share."""
    slower: float = 1.0
    """Multiple of the service time."""
    begins: str = "start"
    """start: with the first stage; late: between 1/6 and 2/3 of the first stage; second: with the second stage."""


@dataclasses.dataclass(frozen=True)
class Scraping:
    """What Prometheus does not see."""

    missing: float = 0.0
    """Chance of a look without data."""
    gaps: float = 0.0
    """Chance that a gap of 3 to 12 looks begins at a look. Half of the traces catch the counts of a gap up in the look
    after it."""
    restarts: float = 0.0
    """Restarts of a host in an hour; the counts since the last scrape are lost with it."""


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One row of the benchmark."""

    name: str
    title: str
    harmless: bool = True
    margin: bool = False
    """The harm is exactly the margin: certifying it is false."""
    slow: bool = False
    """The bad requests are those above a histogram bound."""
    crowd: bool = False
    """Zipf activity, widely differing proneness and bursty heavy users, all dealt by hash."""
    host_cohorts: bool = False
    """The treatment is 2, then 4 of 8 hosts, not users."""
    host_spread: float = 0.0
    """Standard deviation of the logarithm of the hosts' error multiples."""
    bad_host: int | None = None
    """A host with 5 times the errors: 0 is in the first stage, 2 joins in the second."""
    client: Client | None = None
    wave: Wave | None = None
    incident: Incident | None = None
    effect: Effect = Effect()
    scraping: Scraping = Scraping()
    check: bool = True
    """Part of what must hold; False: shown only."""


def _clients() -> Iterator[Scenario]:
    places = (("in-25", "in the 25 %"), ("joins-at-50", "joins at 50 %"), ("in-rest", "in the rest"))
    for group, (place, where) in enumerate(places):
        for spells, how in ((None, "steady"), (SPELLS, "bursty")):
            yield Scenario(
                f"heavy-client-{place}-{how}", f"a {how} heavy client {where}", client=Client(group, spells=spells)
            )


def _errors() -> Iterator[Scenario]:
    for times in (1.5, 2.0, 3.0, 10.0):
        yield Scenario(f"errors-{times:g}", f"errors × {times:g}", False, margin=times == 2, effect=Effect(times))
    for times in (3.0, 10.0):
        yield Scenario(
            f"errors-{times:g}-late",
            f"errors × {times:g} from the middle of the 25 %",
            False,
            effect=Effect(times, begins="late"),
        )
        yield Scenario(
            f"errors-{times:g}-second", f"errors × {times:g} from 50 % on", False, effect=Effect(times, begins="second")
        )


BURSTY_IN_25 = Client(0, spells=SPELLS)

SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("no-change", "no change"),
        Scenario("no-change-slow", "no change, slow requests", slow=True),
        Scenario("tolerated", "errors × 1.25, the tolerated ratio", effect=Effect(1.25)),
        Scenario("incident-times", "shared incident, × 10", incident=Incident(times=10.0)),
        Scenario("incident-plus", "shared incident, 20 % absolute", incident=Incident(plus=0.2)),
        Scenario(
            "incident-in-aa", "shared incident, × 10, begins in the A/A", incident=Incident(times=10.0, in_aa=True)
        ),
        Scenario("wave-ramp", "wave, period 3 × the ramp", wave=Wave(3.0)),
        Scenario("wave-fast", "wave, period 1/3 of the ramp", wave=Wave(1 / 3)),
        Scenario("wave-day", "wave, period 24 h", wave=Wave(86400.0)),
        Scenario("hosts-differ", "hosts differ, hosts as treatment", host_cohorts=True, host_spread=0.4),
        Scenario("hosts-differ-under-users", "hosts differ, users as treatment", host_spread=0.4),
        Scenario("bad-host", "a bad host in the 25 %", host_cohorts=True, host_spread=0.2, bad_host=0),
        Scenario("bad-host-joins-at-50", "a bad host joins at 50 %", host_cohorts=True, host_spread=0.2, bad_host=2),
        Scenario("heavy-users", "heavy users cluster by chance, bursty", crowd=True),
        *_clients(),
        Scenario("missing-scrapes", "5 % of the looks missing", scraping=Scraping(missing=0.05)),
        Scenario("scrape-gaps", "gaps of 3 to 12 looks", scraping=Scraping(gaps=0.03)),
        Scenario("counter-resets", "counter resets, each host 12 times an hour", scraping=Scraping(restarts=12.0)),
        *_errors(),
        Scenario("slow-1.3", "slower by 1.3", False, slow=True, effect=Effect(slower=1.3)),
        Scenario("slow-2", "slower by 2", False, slow=True, effect=Effect(slower=2.0)),
        Scenario(
            "errors-2-wave", "errors × 2 in a wave", False, margin=True, wave=Wave(3.0), effect=Effect(2.0), check=False
        ),
        Scenario(
            "errors-2-client",
            "errors × 2, bursty heavy client in 25 %",
            False,
            margin=True,
            client=BURSTY_IN_25,
            effect=Effect(2.0),
            check=False,
        ),
        Scenario(
            "errors-3-client",
            "errors × 3, bursty heavy client in 25 %",
            False,
            client=BURSTY_IN_25,
            effect=Effect(3.0),
            check=False,
        ),
        Scenario(
            "errors-3-missing",
            "errors × 3, gaps of 3 to 12 looks",
            False,
            scraping=Scraping(gaps=0.03),
            effect=Effect(3.0),
            check=False,
        ),
    )
}
