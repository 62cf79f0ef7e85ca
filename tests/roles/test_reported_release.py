"""What is called finished or completed when the hosts say otherwise: the playbooks themselves, with this machine as the
only host."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.roles.own_host import MANIFEST, NEW, OLD, STEPS, Host, happened, launch, leave, playbook


def test_a_rollout_is_completed_when_every_host_says_so(tmp_path: Path, host: Host) -> None:
    leave(tmp_path, *STEPS)
    status, said = launch(tmp_path, host, playbook("report"), report_insist="completed")
    assert status == 0, said
    assert happened(tmp_path, "rollout.finished") == [{"outcome": "completed"}]


def test_a_rollout_is_not_completed_while_a_host_says_otherwise(tmp_path: Path, host: Host) -> None:
    leave(tmp_path, *STEPS)
    host.link(OLD)
    host.answers = OLD
    status, said = launch(tmp_path, host, playbook("report"))
    assert status != 0
    assert (
        "Not completed: here: its link current leads to 1.0.0 (111111111111), not to 2.0.0 (222222222222); what answers"
        " at /version is 1.0.0" in said
    )
    assert happened(tmp_path, "rollout.finished") == [{"outcome": "incomplete"}]
    assert [(failed["step"], failed["host"]) for failed in happened(tmp_path, "step.failed")] == [("verify", "here")]


@pytest.mark.parametrize(("insist", "status"), [("any", 0), ("completed", 2)])
def test_what_was_completed_is_asked_again_where_that_is_wanted(
    tmp_path: Path, host: Host, insist: str, status: int
) -> None:
    leave(tmp_path, *STEPS, outcome="completed")
    host.link(OLD)
    ended, said = launch(tmp_path, host, playbook("report"), report_insist=insist)
    assert ended == status, said
    assert ("Not completed: here: its link current leads to 1.0.0" in said) == (status != 0)


def test_an_empty_ledger_is_no_completed_rollout(tmp_path: Path, host: Host) -> None:
    status, said = launch(tmp_path, host, playbook("report"), report_insist="completed")
    assert status != 0
    assert f"The ledger {tmp_path / 'ledger'} on here has no rollout of shop, expected one that is completed." in said


def test_a_rollout_of_another_release_is_not_this_one(tmp_path: Path, host: Host) -> None:
    leave(tmp_path, *STEPS, outcome="completed")
    other = {**MANIFEST, "version": "3.0.0"}
    asked = {
        "hosts": "ledger",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.set_fact": {"preflight_manifest": {"manifest": other}}}],
    }
    status, said = launch(tmp_path, host, [asked, *playbook("report")], report_insist="completed")
    assert status != 0
    assert "shop 3.0.0 was not rolled out: the newest rollout is shop-2.0.0-" in said


def test_a_report_alone_is_of_the_version_that_was_asked_for(tmp_path: Path, host: Host) -> None:
    """As the workflow of awx/ launches it, with the answers of its survey."""
    leave(tmp_path, *STEPS, outcome="completed")
    status, said = launch(tmp_path, host, playbook("report"), report_insist="completed", version="3.0.0")
    assert status != 0
    assert "shop 3.0.0 was not rolled out: the newest rollout is shop-2.0.0-" in said
    status, said = launch(tmp_path, host, playbook("report"), report_insist="completed", version="2.0.0")
    assert status == 0, said


@pytest.mark.parametrize(
    ("job", "answers", "finished", "failed"),
    [
        ("", NEW, ["backup", "migrate", "release"], []),
        ("", OLD, ["backup", "migrate"], ["here: what answers at /version is 1.0.0"]),
        ("4711", NEW, ["backup", "migrate"], ["here: systemd has a job for its service that is not done yet (4711)"]),
    ],
)
def test_a_release_step_is_finished_by_the_hosts_own_word(
    tmp_path: Path,
    host: Host,
    monkeypatch: pytest.MonkeyPatch,
    job: str,
    answers: dict[str, str],
    finished: list[str],
    failed: list[str],
) -> None:
    leave(tmp_path, "backup", "migrate")
    monkeypatch.setenv("WAITING_JOB", job)
    host.answers = answers
    status, said = launch(tmp_path, host, playbook("release")[-1:])
    assert (status == 0) == (not failed), said
    assert [step["step"] for step in happened(tmp_path, "step.finished")] == finished
    errors = [step["error"] for step in happened(tmp_path, "step.failed")]
    assert [error.startswith(wanted) for error, wanted in zip(errors, failed, strict=True)] == [True] * len(failed)
