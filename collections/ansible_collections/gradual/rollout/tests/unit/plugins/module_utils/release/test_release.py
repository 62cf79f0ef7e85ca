# Copyright: The Gradual project
# GPL-3.0-or-later (see LICENSES/GPL-3.0-or-later.txt)
"""Releases on a host: hostile archives, half-made stagings, links, and units that do not start."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.gradual.rollout.plugins.module_utils.common.remote import Access
from ansible_collections.gradual.rollout.plugins.module_utils.release import activate, artifact, install
from ansible_collections.gradual.rollout.plugins.module_utils.release import store as release_store
from ansible_collections.gradual.rollout.plugins.module_utils.release import systemd as service
from ansible_collections.gradual.rollout.tests.unit.packing import Entry, packed


@pytest.fixture
def depot(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A directory that is served over HTTP, and its address."""
    directory = tmp_path / "depot"
    directory.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_arguments: Any) -> None:
            """Silent."""

        def do_GET(self) -> None:
            if self.path == "/away":
                self.send_response(302)
                self.send_header("Location", "file:///etc/passwd")
                self.end_headers()
            elif self.path == "/private":
                self.send_error(401)
            elif self.path == "/short":
                self.send_response(200)
                self.send_header("Content-Length", "100")
                self.end_headers()
                self.wfile.write(b"short")
            else:
                super().do_GET()

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(directory))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield directory, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run(arguments: list[str], cwd: str | None = None) -> tuple[int, str, str]:
    done = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


Publish = Callable[..., install.Artifact]


@pytest.fixture
def publish(depot: tuple[Path, str]) -> Publish:
    """Puts an artifact into the depot."""

    def artifact_of(version: str, *entries: Entry, prepare: str | None = None) -> install.Artifact:
        scripts = [("run", "#!/bin/sh\n")] + ([("prepare", "#!/bin/sh\n" + prepare)] if prepare else [])
        content = packed(*scripts, ("version", version), *entries)
        (depot[0] / f"{version}.tar.gz").write_bytes(content)
        return install.Artifact("shop", version, hashlib.sha256(content).hexdigest(), f"{depot[1]}/{version}.tar.gz")

    return artifact_of


def test_staging_and_again(tmp_path: Path, publish: Publish) -> None:
    wanted = publish("1.0", prepare="pwd > where; test ! -e .release.json\n")
    root = str(tmp_path / "opt")
    release, changed = install.stage(root, wanted, run)
    assert changed
    assert Path(release["directory"]) == tmp_path / "opt/releases" / f"1.0-{wanted.sha256[:12]}"
    assert (Path(release["directory"]) / "where").read_text().strip() == release["directory"], "prepared where it stays"
    assert json.loads((Path(release["directory"]) / ".release.json").read_text()) == {
        "application": "shop",
        "release": "1.0",
        "digest": wanted.sha256,
    }
    wanted.url = None
    assert install.stage(root, wanted, run) == (release, False)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"url": "http://127.0.0.1:1/x"}, "cannot be reached from this host: .*Connection refused; try: curl -I"),
        (
            {"url": "{depot}/nix"},
            r"answered 404 File not found; put the artifact there.*, or give a token \(no headers sent",
        ),
        ({"url": "{depot}/private"}, r"answered 401 to user none and no headers; write .* rollout_artifact_headers\)"),
        (
            {"url": "{depot}/private", "access": Access(headers={"Authorization": "Bearer opensesame"})},
            r"answered 401 to user none and headers Authorization; (?!.*opensesame)",
        ),
        (
            {"url": "{depot}/1.0.tar.gz?X-Amz-Signature=opensesame"},
            r"a URL with the secret parameter X-Amz-Signature in it.*rollout_artifact_headers(?!.*opensesame)",
        ),
        ({"url": "{depot}/away"}, "answered 302|cannot be reached"),
        ({"url": "{depot}/short"}, "broke off after 5|is another file"),
        ({"url": "file:///etc/passwd"}, "not an http or https URL"),
        ({"url": None}, "is not on this host, and there is no url"),
        (
            {"sha256": "0" * 64},
            "is another file than the manifest means: its SHA-256 is [0-9a-f]{64}, the manifest has 0000",
        ),
        ({"sha256": "0"}, "not a SHA-256, got '0'"),
        ({"access": Access(ca_path="/nonexistent")}, "cannot be read as certificates"),
    ],
)
def test_what_cannot_be_staged_leaves_nothing(
    tmp_path: Path, depot: tuple[Path, str], publish: Publish, change: dict[str, Any], wrong: str
) -> None:
    wanted = publish("1.0")
    for key, value in change.items():
        setattr(wanted, key, value.replace("{depot}", depot[1]) if isinstance(value, str) else value)
    with pytest.raises(install.StagingError, match=wrong):
        install.stage(str(tmp_path / "opt"), wanted, run)
    assert os.listdir(tmp_path / "opt/releases") == [".lock"]


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("https://host/a.tar.gz?versionId=3", None),
        ("https://host/a.tar.gz?ref=v1&private_token=opensesame", "private_token"),
        ("https://host/a.tar.gz?sv=2024&sig=opensesame", "sig"),
        ("https://host/a.tar.gz?X-Goog-Signature=opensesame", "X-Goog-Signature"),
        ("https://reader:opensesame@host/a.tar.gz", "user or password"),
    ],
)
def test_an_address_that_opens_a_door_is_refused_and_not_shown(url: str, wrong: str | None) -> None:
    said = artifact.url_mistake(url)
    assert said is None if wrong is None else wrong in str(said)
    assert "opensesame" not in f"{said} {artifact.without_secrets(url)}"
    assert artifact.without_secrets(url) == "https://host/a.tar.gz"


def test_a_failing_prepare_leaves_nothing(tmp_path: Path, publish: Publish) -> None:
    with pytest.raises(
        install.StagingError,
        match=r"`prepare` of the artifact ended with exit status 4; it said last:\nno wheel for shop",
    ):
        install.stage(str(tmp_path / "opt"), publish("1.0", prepare="echo no wheel for shop; exit 4\n"), run)
    assert os.listdir(tmp_path / "opt/releases") == [".lock"]


def test_an_artifact_needs_something_to_run(tmp_path: Path, depot: tuple[Path, str]) -> None:
    content = packed(("app", "x"))
    (depot[0] / "a").write_bytes(content)
    with pytest.raises(install.StagingError, match="no executable file `run`"):
        install.stage(
            str(tmp_path / "opt"),
            install.Artifact("shop", "1", hashlib.sha256(content).hexdigest(), f"{depot[1]}/a"),
            run,
        )


def test_what_a_killed_run_left_is_made_anew(tmp_path: Path, publish: Publish) -> None:
    wanted, root = publish("1.0"), tmp_path / "opt"
    for name in (f"1.0-{wanted.sha256[:12]}", ".staging-abc"):
        (root / "releases" / name).mkdir(parents=True)
        (root / "releases" / name / "half").write_text("half")
    release, changed = install.stage(str(root), wanted, run)
    assert changed
    assert sorted(os.listdir(root / "releases")) == [".lock", os.path.basename(release["directory"])]
    assert not (Path(release["directory"]) / "half").exists()


def test_old_releases_go_but_never_what_runs_or_ran_before(tmp_path: Path, publish: Publish) -> None:
    root = str(tmp_path / "opt")
    releases = []
    for number in range(6):
        release, _changed = install.stage(root, publish(f"1.{number}"), run)
        os.utime(os.path.join(release["directory"], ".release.json"), (number, number))
        releases.append(release)
    release_store.switch(root, "previous", releases[0]["directory"])
    release_store.switch(root, "current", releases[1]["directory"])
    assert sorted(install.prune(root, 2)) == [releases[2]["directory"], releases[3]["directory"]]
    assert [release["version"] for release in release_store.kept(root)] == ["1.5", "1.4", "1.1", "1.0"]
    assert install.prune(root, 2) == []


def test_the_link_is_never_missing(tmp_path: Path, publish: Publish) -> None:
    root = str(tmp_path / "opt")
    one, two = (install.stage(root, publish(version), run)[0] for version in ("1", "2"))
    stop, gaps = threading.Event(), 0

    def watch() -> None:
        nonlocal gaps
        while not stop.is_set():
            gaps += not os.path.exists(os.path.join(root, "current", "run"))

    release_store.switch(root, "current", one["directory"])
    watcher = threading.Thread(target=watch)
    watcher.start()
    for number in range(200):
        release_store.switch(root, "current", (one, two)[number % 2]["directory"])
    stop.set()
    watcher.join()
    assert gaps == 0
    assert os.readlink(os.path.join(root, "current")).startswith("releases/")


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"release": 1, "digest": "x"}', "[" * 100_000])
def test_a_directory_without_a_good_note_is_no_release(tmp_path: Path, note: str) -> None:
    (tmp_path / ".release.json").write_text(note)
    assert release_store.describe(str(tmp_path)) is None


ACTIVE = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "NRestarts": "0", "Job": "0"}


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (ACTIVE, None),
        ({"ActiveState": "activating", "SubState": "start"}, None),
        ({"ActiveState": "inactive", "Job": "123"}, None),
        ({"ActiveState": "deactivating"}, None),
        ({}, None),
        (
            {"ActiveState": "activating", "SubState": "auto-restart", "Result": "exit-code", "ExecMainStatus": "3"},
            "ended by itself while it started (exit-code, exit status 3)",
        ),
        ({"ActiveState": "activating", "SubState": "start", "NRestarts": "1"}, "tries it again and again"),
        ({"ActiveState": "failed", "Result": "timeout"}, "the unit failed (timeout"),
        ({"ActiveState": "inactive", "Job": "0", "ConditionResult": "no"}, "a condition of the unit does not hold"),
        ({"ActiveState": "inactive", "ConditionResult": "yes", "Result": "success"}, "the unit ended (success"),
        ({"LoadState": "not-found", "ActiveState": "inactive"}, "no such unit"),
    ],
)
def test_trouble_is_seen_at_once(shown: dict[str, str], wanted: str | None) -> None:
    found = service.trouble(shown)
    assert found is None if wanted is None else wanted in str(found)


class Systemd:
    """systemctl and journalctl in memory: `states` are shown one after the other after a start, the last one stays."""

    def __init__(self, *states: dict[str, str]) -> None:
        self.states = list(states)
        self.told: list[str] = []

    def __call__(self, arguments: list[str]) -> tuple[int, str, str]:
        if arguments[0] == "journalctl":
            return 0, "line one\n\nline two\n", ""
        if arguments[1] == "show":
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return 0, "".join(f"{key}={value}\n" for key, value in state.items()), ""
        self.told.append(arguments[1])
        return 0, "", ""


@pytest.fixture
def host(
    tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """A host with two releases that is switched to the first; no pause between looks."""
    monkeypatch.setattr(activate, "STEP", 0.01)
    root = str(tmp_path / "opt")
    one, two = (install.stage(root, publish(version), run)[0] for version in ("1", "2"))
    release_store.switch(root, "current", one["directory"])
    release_store.admit(one)
    return root, one, two


def test_switching(host: tuple[str, dict[str, Any], dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    root, one, two = host
    monkeypatch.setattr(activate, "_ask", lambda url: (200, "", {"digest": two["digest"]}))
    aim = activate.Aim(root, "shop.service", "http://h/readyz", "http://h/version", 5)
    systemd = Systemd({"ActiveState": "activating"}, {"ActiveState": "activating"}, ACTIVE)
    assert not activate.runs(two, aim, systemd)
    activate.switch(two, aim, systemd)
    assert systemd.told == ["stop", "reset-failed", "start"]
    assert (release_store.linked(root, "current"), release_store.linked(root, "previous")) == (two, one)
    assert activate.runs(two, aim, systemd)


@pytest.mark.parametrize(("job", "wanted"), [({}, True), ({"Job": "0"}, True), ({"Job": "4711"}, False)])
def test_a_unit_that_is_about_to_be_restarted_does_not_run_the_release(
    host: tuple[str, dict[str, Any], dict[str, Any]], monkeypatch: pytest.MonkeyPatch, job: dict[str, str], wanted: bool
) -> None:
    """Left by a killed run: link and answers are right for as long as the old process takes to stop."""
    root, one, _two = host
    monkeypatch.setattr(activate, "_ask", lambda url: (200, "", {"digest": one["digest"]}))
    aim = activate.Aim(root, "shop.service", None, "http://h/version", 5)
    assert activate.runs(one, aim, Systemd({**ACTIVE, **job})) == wanted


@pytest.mark.parametrize(
    ("state", "answers", "wrong"),
    [
        (
            {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "3"},
            (None, "", None),
            r"the unit failed \(exit-code, exit status 3\)\.\nIts journal says last:\n  line one\n  line two",
        ),
        ({"ActiveState": "activating"}, (None, "", None), r"not in time, 0\.2 s: the unit is activating still"),
        (
            ACTIVE,
            (503, '{"database": "down"}', {}),
            r"not in time, 0\.2 s: http://h/readyz answers 503: .\"database\": \"down\"",
        ),
        (ACTIVE, (None, "refused", None), r"http://h/readyz answers nothing: refused"),
        (ACTIVE, (200, "", {"release": "1", "digest": "1" * 64}), r"says that it is 1 \(111111111111\) and not 2"),
        (ACTIVE, (200, "hello", None), r"http://h/version answers 200: hello"),
    ],
)
def test_a_release_that_does_not_run(
    host: tuple[str, dict[str, Any], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    state: dict[str, str],
    answers: Any,
    wrong: str,
) -> None:
    root, one, two = host
    monkeypatch.setattr(activate, "_ask", lambda _url: answers)
    with pytest.raises(activate.SwitchError, match=wrong) as raised:
        activate.switch(
            two, activate.Aim(root, "shop.service", "http://h/readyz", "http://h/version", 0.2), Systemd(state)
        )
    assert raised.value.journal == ["line one", "line two"]
    assert (release_store.linked(root, "current"), release_store.linked(root, "previous")) == (
        two,
        one,
    ), "the caller decides what to do"


INACTIVE = {"LoadState": "loaded", "ActiveState": "inactive", "Job": "0"}


def switched(root: str, release: dict[str, Any], **how: bool) -> tuple[Any, Any]:
    """Where current and previous lead after a switch; the unit does as it is told."""
    activate.switch(release, activate.Aim(root, "shop.service"), Systemd(ACTIVE), **how)
    return release_store.linked(root, "current"), release_store.linked(root, "previous")


def test_previous_is_what_users_had_and_never_what_they_did_not_have(
    host: tuple[str, dict[str, Any], dict[str, Any]], publish: Publish
) -> None:
    root, one, two = host
    three = install.stage(root, publish("3"), run)[0]
    assert [release_store.is_admitted(each) for each in (one, two, three)] == [
        True,
        False,
        False,
    ], "what was staged is not admitted yet"
    assert switched(root, two) == (two, one)
    assert switched(root, three) == (three, one), "2 was never admitted"
    assert switched(root, one, back=True) == (one, one)
    assert switched(root, two) == (two, one)
    release_store.admit(two)
    release_store.admit(two)
    assert switched(root, three) == (three, two)
    assert switched(root, two, back=True) == (two, two)


def test_what_was_taken_back_from_users_is_none_to_go_back_to(host: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    root, one, two = host
    switched(root, two)
    release_store.admit(two)
    assert switched(root, one, back=True) == (one, one), "users had 2, and it was taken back from them"
    assert not release_store.is_admitted(two)
    assert switched(root, two) == (two, one), "again, on the way to its second trial"


def test_stopping_leaves_nothing_linked(host: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    root, one, two = host
    aim = activate.Aim(root, "shop.service")
    release_store.switch(root, "current", two["directory"])
    release_store.switch(root, "previous", two["directory"])
    systemd = Systemd(INACTIVE)
    assert not activate.is_stopped(aim, systemd)
    activate.stop(aim, systemd)
    assert systemd.told == ["stop", "reset-failed"]
    assert [release_store.link_kind(root, link) for link in ("current", "previous")] == ["missing", "missing"]
    assert activate.is_stopped(aim, systemd)
    assert not activate.is_stopped(aim, Systemd({**INACTIVE, "Job": "17"})), "a start is pending"
    assert not activate.is_stopped(aim, Systemd(ACTIVE))
    assert release_store.describe(two["directory"]), "the files stay"
    release_store.switch(root, "previous", one["directory"])
    activate.stop(aim, systemd)
    assert release_store.linked(root, "previous") == one, "users had that one"


def test_a_unit_that_does_not_stop_keeps_its_link(host: tuple[str, dict[str, Any], dict[str, Any]]) -> None:
    root, one, _two = host
    with pytest.raises(activate.SwitchError, match=r"shop\.service is deactivating still after it was told to stop"):
        activate.stop(activate.Aim(root, "shop.service"), Systemd({"ActiveState": "deactivating"}))
    assert release_store.linked(root, "current") == one


def test_a_directory_in_the_place_of_a_link_is_an_error_that_says_so(
    host: tuple[str, dict[str, Any], dict[str, Any]],
) -> None:
    root, _one, two = host
    os.unlink(os.path.join(root, "current"))
    os.mkdir(os.path.join(root, "current"))
    assert release_store.link_kind(root, "current") == "directory"
    with pytest.raises(
        activate.SwitchError, match=r"/current is a directory, and must be a link .*mv .*/current .*/current\.old"
    ):
        activate.switch(two, activate.Aim(root), Systemd(ACTIVE))
    with pytest.raises(
        activate.SwitchError, match="/current is a directory and no link, so it was not made by Gradual"
    ):
        activate.stop(activate.Aim(root), Systemd(ACTIVE))
    assert os.path.isdir(os.path.join(root, "current"))


@pytest.mark.parametrize(("target", "kind"), [(None, "missing"), ("releases/nix", "broken"), ("releases", "foreign")])
def test_links_that_lead_to_no_release(
    host: tuple[str, dict[str, Any], dict[str, Any]], target: str | None, kind: str
) -> None:
    root, _one, _two = host
    os.unlink(os.path.join(root, "current"))
    if target:
        os.symlink(target, os.path.join(root, "current"))
    assert release_store.link_kind(root, "current") == kind


def test_secrets_of_the_service_are_known() -> None:
    text = (
        "PORT=8080\nDATABASE_URL=postgresql://shop:pa%20ss-word@db1/shop\nSESSION_KEY='0123456789abcdef'\nAPI_URL=http://other\nSHORT_KEY=abc\n#"
        " KEY\n"
    )
    assert service.secret_values(text) == {
        "postgresql://shop:pa%20ss-word@db1/shop",
        "pa%20ss-word",
        "pa ss-word",
        "0123456789abcdef",
    }


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("https://h/x", None),
        ("http://[::1]:80/x", None),
        ("ftp://h/x", "not an http or https URL"),
        ("h/x", "not an http or https URL"),
        ("http:///x", "without a host"),
        ("http://h:0/x", "without a host"),
        ("http://h /x", "with spaces"),
        ("http://u:p@h/x", "user or password"),
        ("http://[/x", "not a URL"),
    ],
)
def test_urls(url: str, wrong: str | None) -> None:
    found = artifact.url_mistake(url)
    assert found is None if wrong is None else wrong in str(found)


def test_a_release_that_fails_a_smoke_test_is_named_with_what_it_answered(depot: tuple[Path, str]) -> None:
    (depot[0] / "page").write_text("an older page")
    release, ready = {"version": "2.0.0"}, f"{depot[1]}/readyz"
    activate.smoke_test(release, ready, [{"name": "page", "path": "/page", "contains": "older"}])
    with pytest.raises(activate.SwitchError) as raised:
        activate.smoke_test(
            release, ready, [{"path": "/page"}, {"name": "new page", "path": "/page", "contains": "newer"}]
        )
    assert str(raised.value) == (
        f"Release 2.0.0 runs, but 1 of 2 probes of {depot[1]} failed: new page: contains is"
        ' "an older page" and not "newer"'
    )
    with pytest.raises(activate.SwitchError, match=r"^Release 2\.0\.0 runs, but 1 of 1 probes of .* failed: /page: "):
        activate.smoke_test(release, "http://127.0.0.1:1/readyz", [{"path": "/page"}])
