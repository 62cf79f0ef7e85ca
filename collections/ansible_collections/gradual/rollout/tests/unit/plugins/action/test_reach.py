# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""The action plugins and the callback, as Ansible calls them; real lost hosts are in the fleet's tests."""

from __future__ import annotations

import time
import types
from pathlib import Path
from typing import Any

import pytest
from ansible import constants
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.gradual.rollout.plugins.action import reach
from ansible_collections.gradual.rollout.plugins.plugin_utils import lease_renewal, run_identity
from ansible_collections.gradual.rollout.tests.unit.dead_process import dead_pid


def plugin(
    action: str = "gradual.rollout.ledger", delegate_to: str | None = None, **arguments: Any
) -> reach.ActionModule:
    """The plugin for a task, without a connection."""
    task = types.SimpleNamespace(
        action=action,
        args=arguments,
        async_val=0,
        check_mode=False,
        delegate_to=delegate_to,
        environment=[],
        _role=None,
    )
    connection = types.SimpleNamespace(
        _shell=types.SimpleNamespace(tmpdir="/tmp/x-tmp-1", CHECK=1), host="10.0.0.1", become=None
    )
    made = reach.ActionModule.__new__(reach.ActionModule)
    made._task, made._connection = task, connection  # type: ignore[assignment]
    made._cleanup_remote_tmp = True
    return made


def answering(monkeypatch: pytest.MonkeyPatch, *answers: Any) -> list[dict[str, Any]]:
    """The module answers these one after the other; the arguments that it was called with."""
    called: list[dict[str, Any]] = []
    left = list(answers)

    def execute(
        _self: Any, module_args: dict[str, Any], task_vars: dict[str, Any], module_name: str | None = None
    ) -> dict[str, Any]:
        called.append(module_args)
        answer = left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    monkeypatch.setattr(ActionBase, "_execute_module", execute)
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})
    return called


@pytest.mark.parametrize(
    "lost",
    [
        AnsibleConnectionFailure("Failed to connect to the host via ssh:\n timed out"),
        {"unreachable": True, "msg": "gone"},
    ],
)
@pytest.mark.parametrize(("delegate", "named"), [(None, "app1"), ("lb1", "lb1")])
def test_a_lost_host_is_a_failure_that_names_it(
    monkeypatch: pytest.MonkeyPatch, lost: Any, delegate: str | None, named: str
) -> None:
    answering(monkeypatch, lost)
    action = plugin("gradual.rollout.release", delegate)
    result = action.run(task_vars={"inventory_hostname": "app1"})
    assert (result["failed"], result["lost_host"], result.get("unreachable")) == (True, named, None)
    assert result["msg"].startswith(f"Host {named} was lost while release ran")
    action.cleanup()
    assert action._connection._shell.tmpdir is None


def test_losing_the_host_while_tidying_up_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, {"changed": True})

    def lose(*_arguments: Any) -> None:
        raise AnsibleConnectionFailure("gone")

    monkeypatch.setattr(ActionBase, "cleanup", lose)
    action = plugin("gradual.rollout.release")
    assert action.run(task_vars={}) == {"changed": True}
    action.cleanup()


def test_only_the_ledger_is_told_who_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    called = answering(monkeypatch, {}, {}, {})
    plugin("gradual.rollout.ledger", path="/x").run()
    plugin("gradual.rollout.ledger", path="/x", holder="me").run()
    plugin("gradual.rollout.ledger_info", path="/x").run()
    assert called == [{"path": "/x", "holder": run_identity.holder()}, {"path": "/x", "holder": "me"}, {"path": "/x"}]


PLACE = run_identity.holder().rpartition(":")[0]
ELSEWHERE = "ann@elsewhere/abc:10"


def held(by: str = ELSEWHERE, left: float = 80.0, until: str = "12:01:20") -> dict[str, Any]:
    return {"failed": True, "msg": "it is locked", "lease": {"holder": by, "left": left, "until": until}}


def test_a_lease_of_a_dead_run_is_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = f"{PLACE}:{dead_pid()}"
    called = answering(monkeypatch, held(dead), {"changed": True})
    assert plugin(path="/x").run() == {"changed": True}
    assert [arguments.get("dead_holder") for arguments in called] == [None, dead]


@pytest.mark.parametrize(
    ("said", "wanted"), [(True, True), ("true", True), ("yes", True), ("", None), (False, None), (None, None)]
)
def test_a_person_may_take_over_at_once(monkeypatch: pytest.MonkeyPatch, said: Any, wanted: bool | None) -> None:
    called = answering(monkeypatch, {}, {})
    plugin(path="/x").run(task_vars={"gradual_take_over": said})
    plugin("gradual.rollout.ledger_info", path="/x").run(task_vars={"gradual_take_over": said})
    assert [arguments.get("take_over") for arguments in called] == [wanted, None]


class Clock:
    """A clock that only sleeping moves on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(reach, "time", made)
    return made


def test_a_lease_of_a_run_that_is_alive_on_this_controller_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(reach, "is_alive", lambda name: name == f"{PLACE}:77")
    monkeypatch.setattr(reach, "is_dead", lambda _name: False)
    answering(monkeypatch, held(f"{PLACE}:77"))
    assert (plugin(path="/x").run(), clock.now) == (held(f"{PLACE}:77"), 1000.0)


def test_a_lease_that_nobody_renews_is_waited_for(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """The killed run's last module still writes within the first seconds."""
    shown: list[str] = []
    monkeypatch.setattr(reach.display, "display", shown.append)
    answers = [
        held(left=80),
        held(left=86, until="12:01:31"),
        *[held(left=81 - 5 * number, until="12:01:31") for number in range(17)],
        {"changed": True},
    ]
    called = answering(monkeypatch, *answers)
    assert plugin(path="/x", events=[1]).run() == {"changed": True}
    assert 80 <= clock.now - 1000 <= reach.WAIT
    assert all(arguments["events"] == [1] for arguments in called)
    assert shown == [
        (
            f"Locked by {ELSEWHERE} until 12:01:20; waiting up to 90 s for that. To take over at once: -e"
            " gradual_take_over=true"
        )
    ]


@pytest.mark.parametrize(
    ("third", "wanted"),
    [
        (held(until="12:01:50"), f"{ELSEWHERE} is at work and has just renewed its lock"),
        (held(by="bob@there/x:3"), "bob@there/x:3 is at work and has just renewed its lock"),
        ({"failed": True, "msg": "disk full"}, "disk full"),
    ],
)
def test_a_run_that_renews_its_lease_is_alive(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, third: dict[str, Any], wanted: str
) -> None:
    answering(monkeypatch, held(), held(), third)
    result = plugin(path="/x").run()
    assert result["failed"]
    assert wanted in result["msg"]
    assert clock.now <= 1011


@pytest.mark.parametrize("case", ["long", "check"])
def test_what_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, clock: Clock, case: str) -> None:
    answer = held(left=3000.0 if case == "long" else 50.0)
    answering(monkeypatch, answer)
    action = plugin(path="/x")
    action._task.check_mode = case == "check"
    assert (action.run(), clock.now) == (answer, 1000.0)


@pytest.fixture
def note(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The run's own temporary directory."""
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    return tmp_path


def mine(by: str = "me", still: bool = True) -> dict[str, Any]:
    return {"rollout": {"lease": {"holder": by, "held": still}}, "now": 0.0}


def test_a_run_knows_whether_it_holds_the_lease(monkeypatch: pytest.MonkeyPatch, clock: Clock, note: Path) -> None:
    called = answering(monkeypatch, mine("ann"), mine(), mine(), held(), mine(None, False), {})  # type: ignore[arg-type]
    expected = {"host": "mon1", "path": "/x", "holder": "me"}

    def record() -> dict[str, Any]:
        return plugin(delegate_to="mon1", path="/x", holder="me").run(task_vars={"gradual_take_over": True})

    record()
    assert lease_renewal.held(str(note)) is None, "somebody else's approval renews nobody's lease"
    record()
    assert lease_renewal.held(str(note)) == expected
    record()
    assert record() == held(), "what this run has lost it does not take again, and does not wait for"
    record()
    assert lease_renewal.held(str(note)) is None, "it was given back"
    record()
    assert [(each.get("take_over"), each.get("owned")) for each in called] == [
        (True, None),
        (True, None),
        (None, True),
        (None, True),
        (None, True),
        (True, None),
    ]


def test_waiting_ends_by_the_ledger_hosts_clock(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    called = answering(monkeypatch, {"changed": True, "now": 50.0, "rollout": {}})
    events = [{"event": "aa.began"}]
    result = plugin(path="/x", holder="me", events=events, hold_until=150.5).run()
    assert (result["changed"], result["now"], clock.now, len(called)) == (True, 150.5, 1100.5, 1)


@pytest.mark.parametrize("until", [50.0, 10.0])
def test_a_moment_that_has_passed_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, until: float
) -> None:
    answering(monkeypatch, {"changed": True, "now": 50.0})
    result = plugin(path="/x", hold_until=until).run()
    assert (result["changed"], result["now"], clock.now) == (True, 50.0, 1000.0)


def test_nothing_is_waited_for_in_check_mode_or_after_a_failure(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    answering(monkeypatch, {"now": 50.0}, {"failed": True, "msg": "full"})
    checked = plugin(path="/x", hold_until=99)
    checked._task.check_mode = True
    assert checked.run() == {"now": 50.0}
    assert plugin(path="/x", hold_until=99).run() == {"failed": True, "msg": "full"}
    assert clock.now == 1000.0


def test_what_is_left_of_a_killed_run_does_not_wait(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    called = answering(monkeypatch, {"now": 50.0})
    monkeypatch.setattr(reach, "orphaned", lambda: clock.now > 1010)
    result = plugin(path="/x", hold_until=350.0).run()
    assert (result["failed"], result["msg"].startswith("The run that waited is dead"), len(called)) == (True, True, 1)
    assert clock.now <= 1012


NOTE = {"host": "mon1", "path": "/x", "holder": "me"}


def test_a_lease_that_another_run_took_fails_the_step_when_it_returns(
    monkeypatch: pytest.MonkeyPatch, note: Path, quick: None
) -> None:
    lease_renewal.remember(str(note), NOTE)
    answering(monkeypatch)
    monkeypatch.setattr(
        reach.ActionModule,
        "_renew",
        lambda *_arguments: {"failed": True, "msg": "bob has taken it", "lease": {"holder": "bob"}},
    )

    def work(*_arguments: Any, **_options: Any) -> dict[str, Any]:
        time.sleep(1.5)
        return {"changed": True}

    monkeypatch.setattr(ActionBase, "_execute_module", work)
    result = plugin("gradual.rollout.backup").run(task_vars={"inventory_hostname": "db1"})
    assert (result["failed"], result["changed"], result["msg"], result["lease"]) == (True, True, "bob has taken it", {})


def test_a_lease_that_is_lost_meanwhile_ends_the_wait(monkeypatch: pytest.MonkeyPatch, note: Path, quick: None) -> None:
    lease_renewal.remember(str(note), NOTE)
    monkeypatch.setattr(reach, "PAUSE", 0.05)
    monkeypatch.setattr(
        reach.ActionModule,
        "_renew",
        lambda *_arguments: {"failed": True, "msg": "bob has taken it", "lease": {"holder": "bob"}},
    )
    answering(monkeypatch, {"now": 50.0, **mine()})
    began = time.monotonic()
    result = plugin(path="/x", delegate_to="mon1", holder="me", hold_until=110.0).run()
    assert (result["failed"], result["lease"]) == (True, {})
    assert "bob has taken it" in result["msg"]
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(("clock", "off"), [(10.0, 0), (12.0, 0), (11.0, 0), (15.2, 3.2), (3.5, -6.5)])
def test_a_clock_is_off_by_no_more_than_is_certain(clock: float, off: float) -> None:
    assert reach.clock_off(clock, 10.0, 12.0) == off
