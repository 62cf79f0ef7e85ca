# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Who may write to the record, and what a replay makes of it: a small ledger in memory, moved by decisions."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.ledger import events, hash_chain, lease
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.file import LedgerError, stamp
from ansible_collections.gradual.rollout.plugins.module_utils.ledger.state import rollout_state
from ansible_collections.gradual.rollout.tests.unit.places import ROLES
from hypothesis import given
from hypothesis import strategies as st

NOON = 1_790_000_000.0
MANIFEST = {"application": "storefront", "version": "2.0.0"}
OTHER = {"application": "storefront", "version": "2.1.0"}
FACTS: dict[str, Any] = {
    "plan": ["backup"],
    "hosts": {"app1": {"version": "1.0.0", "digest": "a", "directory": "/opt/x"}},
    "revision": "0001",
}
ANN, BOB = "ann@controller/1:10", "bob@controller/2:20"


class Book:
    """Lines as a ledger would hold them, and a clock."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.now = NOON

    def ask(self, holder: str, seconds: int = 90, dead: str | None = None) -> lease.Request:
        return lease.Request(holder, self.now, seconds, dead)

    def take(self, decision: lease.Decision) -> list[str]:
        for name, data in decision.events:
            previous = self.lines[-1]["hash"] if self.lines else hash_chain.GENESIS
            self.lines.append(
                hash_chain.link(len(self.lines) + 1, stamp(self.now), decision.rollout, name, data, previous)
            )
        return [name for name, _data in decision.events]

    def open(
        self, holder: str = ANN, manifest: dict[str, Any] | None = None, force: bool = False, dead: str | None = None
    ) -> list[str]:
        return self.take(lease.opened(self.lines, manifest or MANIFEST, FACTS, self.ask(holder, dead=dead), force))

    def record(self, *events: tuple[str, dict[str, Any]], holder: str = ANN, seconds: int = 90) -> list[str]:
        return self.take(lease.recorded(self.lines, list(events), self.ask(holder, seconds)))

    def close(self, outcome: str = "completed", holder: str = ANN) -> list[str]:
        return self.take(lease.closed(self.lines, outcome, self.ask(holder)))

    @property
    def state(self) -> dict[str, Any]:
        state = rollout_state(self.lines, now=self.now)
        assert state is not None
        return state


@pytest.fixture
def book() -> Book:
    return Book()


def test_a_rollout_from_start_to_end(book: Book) -> None:
    assert book.open() == ["rollout.started", "lease.taken"]
    assert book.state["id"] == "storefront-2.0.0-20260921T141320Z"
    assert (book.state["open"], book.state["hosts"]["app1"]["before"]["version"], book.state["revision"]) == (
        True,
        "1.0.0",
        "0001",
    )
    assert book.record(("step.started", {"step": "backup"})) == ["step.started"]
    book.now += 40
    book.record(("backup.proven", {"receipt": {"id": 1}}), ("step.finished", {"step": "backup"}))
    for percent in (25, 100):
        book.record(("stage.set", {"percent": percent, "expiry": 5}), ("stage.certified", {"percent": percent}))
    assert (book.state["certified"], book.state["stage"], book.state["steps"]["backup"]["state"]) == (
        100,
        100,
        "finished",
    )
    assert book.close() == ["rollout.finished", "lease.released"]
    assert (book.state["open"], book.state["completed"], book.state["lease"]["held"]) == (False, True, False)
    assert book.state["durations"] == {"backup": 40.0}
    assert book.open(BOB) == [], "the same release again changes nothing"
    assert book.open(BOB, force=True) == ["rollout.started", "lease.taken"]


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"bake": {"aa": 300}, "stages": [100], "gate": {"alpha": 0.01}}, []),
        ({"artifact": {"sha256": "b" * 64}}, ["rollout.started", "lease.taken"]),
        ({"features": [{"flag": "search"}]}, ["rollout.started", "lease.taken"]),
        ({"migrations": {"target": "0004"}}, ["rollout.started", "lease.taken"]),
    ],
)
def test_a_completed_release_that_would_be_watched_otherwise_is_not_rolled_out_again(
    book: Book, change: dict[str, Any], wanted: list[str]
) -> None:
    assert lease.begins(None, MANIFEST)
    book.open()
    assert not lease.begins(book.state, MANIFEST)
    book.close()
    assert lease.begins(book.state, {**MANIFEST, **change}) == bool(wanted)
    assert book.open(BOB, manifest={**MANIFEST, **change}) == wanted


def test_the_same_run_may_open_twice(book: Book) -> None:
    book.open()
    assert book.open() == []


def test_only_one_run_at_a_time(book: Book) -> None:
    book.open()
    book.now += 89
    held = pytest.raises(
        lease.LeaseHeld, match=f"is locked by {ANN} since .*; the lock expires at .*gradual_take_over=true"
    )
    with held:
        book.open(BOB)
    with held:
        book.open(BOB, OTHER)
    with held:
        book.record(("flags.off", {}), holder=BOB)
    with held:
        book.close(holder=BOB)
    book.now += 2
    assert book.open(BOB) == ["lease.taken", "rollout.resumed"]
    with pytest.raises(lease.LeaseHeld, match=f"is locked by {BOB}"):
        book.record(("flags.off", {}))


def test_every_event_renews_the_lease(book: Book) -> None:
    book.open()
    for _number in range(5):
        book.now += 80
        book.record(("step.started", {"step": "ramp"}))
    assert book.state["lease"]["held"]
    assert book.record() == ["lease.renewed"]
    assert book.record(seconds=60) == ["lease.renewed"]
    book.now += 61
    assert book.open(BOB) == ["lease.taken", "rollout.resumed"]


@pytest.mark.parametrize("seconds", [0, 91, 3600])
def test_a_lease_is_short(book: Book, seconds: int) -> None:
    with pytest.raises(LedgerError, match=f"lease_seconds: got {seconds}, expected 1 to 90"):
        book.ask(ANN, seconds)


def renew(book: Book, holder: str) -> list[str]:
    return book.take(lease.renewed(book.lines, book.ask(holder)))


def test_renewing_keeps_the_lease_and_never_takes_it(book: Book) -> None:
    book.open()
    for _number in range(4):
        book.now += 80
        assert renew(book, ANN) == ["lease.renewed"]
    book.now += 200
    assert renew(book, ANN) == ["lease.renewed"], "it had expired, but nobody else took it"
    assert book.state["lease"]["held"]
    with pytest.raises(lease.LeaseHeld, match=f"has lost the lock.*{ANN} has taken it"):
        renew(book, BOB)
    book.take(lease.released(book.lines, book.ask(ANN)))
    with pytest.raises(lease.LeaseHeld, match="another run has taken and released it"):
        renew(book, ANN)


def test_a_person_takes_over_a_run_that_is_alive_and_that_run_does_not_come_back(book: Book) -> None:
    book.open()
    request = lease.Request(BOB, book.now, take_over=True)
    assert book.take(lease.recorded(book.lines, [("step.started", {"step": "rollback"})], request)) == [
        "lease.taken",
        "step.started",
    ]
    assert book.lines[-2]["data"] == {"holder": BOB, "seconds": 90, "after": ANN, "forced": True}
    with pytest.raises(lease.LeaseHeld, match=f"has lost the lock.*{BOB} has taken it") as lost:
        renew(book, ANN)
    assert lost.value.lease["left"] == 90
    book.take(lease.released(book.lines, book.ask(BOB)))
    owner = lease.Request(ANN, book.now, owned=True)
    with pytest.raises(lease.LeaseHeld, match="taken and released it meanwhile"):
        lease.recorded(book.lines, [("host.released", {"host": "app1"})], owner)
    assert book.record(("step.started", {"step": "ramp"}), holder=ANN) == [
        "lease.taken",
        "step.started",
    ], "a run that never held it may"


def test_a_dead_holder_is_followed_at_once(book: Book) -> None:
    book.open()
    with pytest.raises(lease.LeaseHeld):
        book.open(BOB, dead="somebody else")
    assert book.open(BOB, dead=ANN) == ["lease.taken", "rollout.resumed"]
    assert book.lines[-2]["data"] == {"holder": BOB, "seconds": 90, "after": ANN}


def test_a_lease_that_was_given_back_is_free_for_anybody(book: Book) -> None:
    book.open()
    assert book.take(lease.released(book.lines, book.ask(BOB))) == [], "it is not his"
    assert book.take(lease.released(book.lines, book.ask(ANN))) == ["lease.released"]
    assert book.take(lease.released(book.lines, book.ask(ANN))) == []
    assert book.state["open"]
    assert book.record(("step.started", {"step": "backup"}), holder=BOB) == ["lease.taken", "step.started"]


def test_another_release_must_wait_for_this_one(book: Book) -> None:
    book.open()
    book.record(("step.failed", {"step": "ramp", "error": "too slow"}))
    book.now += 100
    with pytest.raises(
        LedgerError,
        match=(
            r"2\.0\.0 is not finished, at 0 % certified; it failed in ramp: too slow\. Either finish it"
            r" .*deploy.yml.*rollback.yml"
        ),
    ):
        book.open(BOB, OTHER)
    with pytest.raises(LedgerError, match="same version, but another manifest"):
        book.open(BOB, {**MANIFEST, "stages": [100]})


def test_an_approval_comes_from_somebody_else(book: Book) -> None:
    book.open()
    book.record(("stage.certified", {"percent": 25}))
    before = book.state["lease"]["until"]
    book.now += 50
    assert book.record(("stage.approved", {"percent": 25, "by": "bob"}), holder=BOB) == ["stage.approved"]
    assert (book.state["approvals"], book.state["lease"]["holder"], book.state["lease"]["until"]) == ([25], ANN, before)


@pytest.mark.parametrize(
    ("event", "data"),
    [
        ("flags.off", {}),
        ("host.returned", {"host": "app1"}),
        ("step.started", {"step": "rollback"}),
        ("host.lost", {"host": "app1"}),
    ],
)
def test_going_back_after_the_end_opens_a_rollout_again(book: Book, event: str, data: dict[str, Any]) -> None:
    book.open()
    book.close()
    assert book.record((event, data)) == ["lease.taken", event]
    assert (book.state["open"], book.state["completed"]) == (True, False)
    book.close("returned")
    assert (book.state["open"], book.state["outcome"]) == (False, "returned")
    assert book.open(BOB) == ["rollout.started", "lease.taken"], "it is no longer completed"


KILLED: dict[str, Any] = {"flag": "search", "at": "noon", "by": "bob", "reason": "", "hosts": ["app1"]}


def test_a_kill_is_recorded_once_and_without_the_lease(book: Book) -> None:
    book.open()
    before = book.state["lease"]["until"]
    book.now += 50
    assert book.record(("flag.killed", KILLED), holder=BOB) == ["flag.killed"]
    assert (book.state["lease"]["holder"], book.state["lease"]["until"]) == (ANN, before)
    assert book.record(("flag.killed", KILLED), holder=BOB) == []
    assert book.record(("flag.killed", {**KILLED, "hosts": ["app1", "app2"]}), holder=BOB) == ["flag.killed"]
    assert book.record(("flag.killed", {**KILLED, "flag": "cart"}), holder=BOB) == ["flag.killed"]


def test_a_flag_is_allowed_once(book: Book) -> None:
    book.open()
    nothing, something = (("flag.allowed", {"flag": "search", "by": "bob", "hosts": hosts}) for hosts in ([], ["app1"]))
    assert book.record(nothing, holder=BOB) == [], "it was not killed"
    book.record(("flag.killed", KILLED), holder=BOB)
    assert book.record(nothing, holder=BOB) == ["flag.allowed"]
    assert book.record(nothing, holder=BOB) == []
    assert book.record(something, holder=BOB) == ["flag.allowed"], "the ledger could not be written at the kill"


@pytest.mark.parametrize(
    ("event", "data"),
    [
        ("report.written", {"files": {}}),
        ("flag.retired", {"flag": "search"}),
        ("contract.applied", {"from": "1", "to": "2"}),
    ],
)
def test_what_follows_the_end_leaves_it_completed(book: Book, event: str, data: dict[str, Any]) -> None:
    book.open()
    book.close()
    book.record((event, data))
    assert (book.state["open"], book.state["completed"]) == (False, True)
    assert book.close() == ["lease.released"]
    assert book.close() == []


def test_hosts_and_stages_are_told_as_they_are(book: Book) -> None:
    book.open()
    book.record(
        ("host.drained", {"host": "app1"}),
        ("host.released", {"host": "app1", "from": {"version": "1.0.0"}, "to": {"version": "2.0.0"}}),
        ("host.admitted", {"host": "app1"}),
        ("host.lost", {"host": "app2", "error": "gone"}),
        ("migration.applied", {"from": "1", "to": "2"}),
        ("stage.set", {"percent": 25, "expiry": 7}),
        ("stage.set", {"percent": 25, "expiry": 9}),
    )
    state = book.state
    assert (state["hosts"]["app1"]["now"], state["hosts"]["app1"]["drained"], state["hosts"]["app1"]["to"]) == (
        "released",
        False,
        {"version": "2.0.0"},
    )
    assert (state["hosts"]["app2"]["now"], state["migrated"]) == ("lost", {"from": "1", "to": "2"})
    assert [(stage["percent"], stage["expiry"]) for stage in state["stages"]] == [(25, 9)]
    book.record(("flags.off", {"revision": 3}))
    assert (book.state["stage"], book.state["certified"]) == (0, 0)
    assert book.state["flags_off"]


@pytest.mark.parametrize(
    ("event", "wrong"),
    [
        (
            {"event": "step.strated", "data": {"step": "x"}},
            r"events\[0\].event: no such event, got 'step.strated'; write step.started",
        ),
        ({"event": "rollout.finished", "data": {}}, "is written by state: opened and state: closed"),
        ({"event": "lease.taken", "data": {}}, "not by hand"),
        ({"event": "host.lost", "data": None}, r"events\[0\].data: host.lost needs host, got \[\]"),
        (
            {"event": "stage.set", "data": {"percent": 101}},
            r"percent: not a share of users, got 101; write a whole number from 0 to 100",
        ),
        ({"event": "stage.set", "data": {"percent": "many"}}, "not a share"),
    ],
)
def test_events_are_checked(event: dict[str, Any], wrong: str) -> None:
    with pytest.raises(LedgerError, match=wrong):
        events.checked([event])


def test_every_event_that_the_roles_record_is_known() -> None:
    text = "".join(
        path.read_text(encoding="utf-8") for path in [*ROLES.glob("*/tasks/*.yml"), *ROLES.glob("*/vars/*.yml")]
    )
    recorded = set(re.findall(r"event: ['\"]?([a-z]+\.[a-z_]+)", text))
    assert recorded - set(events.EVENTS) == set()
    assert len(recorded) > 10, "the search itself"


def test_a_percentage_out_of_a_template_is_a_number() -> None:
    assert events.checked([{"event": "stage.set", "data": {"percent": "25"}}]) == [("stage.set", {"percent": 25})]


def test_there_must_be_a_rollout_to_record_in(book: Book) -> None:
    with pytest.raises(LedgerError, match=r"The ledger is empty.*state: opened"):
        book.record(("flags.off", {}))
    book.open()
    with pytest.raises(LedgerError, match="storefront-1 is not the newest rollout"):
        lease.recorded(book.lines, [], book.ask(ANN), "storefront-1")


def test_a_manifest_without_a_usable_name_is_refused(book: Book) -> None:
    with pytest.raises(LedgerError, match=r"release.version: not usable in a name, got '\.\./x'"):
        book.open(manifest={"application": "a", "version": "../x"})


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=3)
    | st.lists(st.text(max_size=2), max_size=2)
    | st.dictionaries(st.text(max_size=2), st.text(max_size=2))
)
DATA = st.dictionaries(
    st.sampled_from(
        ["step", "host", "percent", "holder", "seconds", "outcome", "hosts", "left", "from", "to", "digest"]
    ),
    VALUES,
)
NAMES = st.sampled_from([*events.EVENTS, *events.OWN, "nonsense", ""])


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), NAMES, DATA), max_size=8))
def test_no_data_of_an_event_breaks_the_replay(events: list[tuple[str, str, dict[str, Any]]]) -> None:
    lines = [
        {"time": stamp(NOON + at), "rollout": rollout, "event": name, "data": data}
        for at, (rollout, name, data) in enumerate(events)
    ]
    state = rollout_state(lines, now=NOON)
    assert (state is None) == (not lines)
    rollout_state(lines, "a", NOON)
