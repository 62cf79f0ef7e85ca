"""What new_application.yml writes: all that a first release needs, once, and never over a file that is there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.gradual.rollout.plugins.plugin_utils import launch_check
from ansible_collections.gradual.rollout.plugins.plugin_utils.manifest import document

from tests.roles.local import HOME

BINARIES = Path(sys.executable).parent


def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=HOME, capture_output=True, text=True, check=False)


def write(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    given = json.dumps({"name": "shop", "folder": str(folder), **variables})
    return run(BINARIES / "ansible-playbook", "-i", "localhost,", "playbooks/new_application.yml", "-e", given)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def groups(inventory: Path) -> dict[str, list[str]]:
    """The groups of an inventory with their hosts."""
    children: dict[str, dict[str, Any]] = yaml.safe_load(inventory.read_text())["all"]["children"]
    return {name: list(group["hosts"]) for name, group in children.items()}


@pytest.fixture(scope="module", params=["python postgresql", "python none", "node none"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """The folder, its language and its database."""
    language, database = request.param.split()
    if language == "node" and not shutil.which("npm"):
        pytest.skip("there is no npm here")
    folder = tmp_path_factory.mktemp(language) / "shop"
    done = write(folder, language=language, database=database)
    assert done.returncode == 0, done.stdout + done.stderr
    # `name` is what people write; Ansible warns because it is a keyword of plays too.
    assert (done.stdout + done.stderr).count("WARNING") == (done.stdout + done.stderr).count("reserved name 'name'")
    return folder, language, database


def test_the_manifest_is_good_for_the_inventory(made: tuple[Path, str, str]) -> None:
    folder, _language, database = made
    inventory = groups(folder / "inventory/hosts")
    assert inventory["database"] == inventory["database_primary"] == ([] if database == "none" else ["db1.example.org"])
    assert launch_check.objection({}, inventory) is None
    text = (folder / "releases/1.0.0.yml").read_text()
    manifest: dict[str, Any] = yaml.safe_load(text.replace("{{ artifact_host }}", "mon1.example.org"))
    assert document.check(manifest, inventory)[1] == []


def test_ansible_reads_the_inventory_and_lacks_only_the_secrets(made: tuple[Path, str, str]) -> None:
    done = run(BINARIES / "ansible-inventory", "-i", made[0] / "inventory", "--host", "app1.example.org")
    found = json.loads(done.stdout)
    assert (found["application"], found["front_door"]["name"]) == ("shop", "shop.example.org")
    assert "vault_missing" in found["vault_session_key"]


def test_ansible_lint_finds_nothing(made: tuple[Path, str, str]) -> None:
    done = run(BINARIES / "ansible-lint", "--offline", made[0])
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_artifact_holds_all_that_it_needs_and_is_the_same_again(made: tuple[Path, str, str]) -> None:
    folder, language, _database = made
    archive = folder / "dist/shop-1.0.0.tar.gz"
    packed = []
    for _time in range(2):
        done = run(folder / "build", "1.0.0")
        assert done.returncode == 0, done.stdout + done.stderr
        packed.append(archive.read_bytes())
    assert packed[0] == packed[1]
    with tarfile.open(archive) as opened:
        modes = {entry.name: entry.mode for entry in opened}
    assert modes["run"] == 0o755
    needed = "wheels/gradual_contract" if language == "python" else "node_modules/gradual-contract/src/index.js"
    assert any(name.startswith(needed) for name in modes)
    digest = run("sha256sum", archive).stdout.split()[0]
    assert yaml.safe_load((folder / "releases/1.0.0.yml").read_text())["artifact"]["sha256"] == digest


def test_a_second_run_writes_nothing_and_names_what_is_there(made: tuple[Path, str, str]) -> None:
    folder, language, database = made
    (folder / "README.md").write_text("mine\n")
    before = files(folder)
    done = write(folder, language=language, database=database)
    assert done.returncode != 0
    said = " ".join(done.stdout.split())
    assert (
        f"Nothing was written, because {folder} has README.md, .gitignore, build, publish, releases/1.0.0.yml" in said
    )
    assert files(folder) == before


def test_one_file_that_is_there_is_enough(tmp_path: Path) -> None:
    (tmp_path / "build").symlink_to("nowhere")
    done = write(tmp_path)
    assert done.returncode != 0
    assert f"because {tmp_path} has build already." in " ".join(done.stdout.split())
    assert [path.name for path in tmp_path.iterdir()] == ["build"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"name": "My Shop"}, 'name: not the name of an application, got "My Shop"; write -e name=shop'),
        ({"language": "cobol"}, "value of new_application_language must be one of: python, node, got: cobol"),
    ],
)
def test_a_wrong_variable_is_named_and_nothing_is_written(tmp_path: Path, variables: dict[str, str], said: str) -> None:
    done = write(tmp_path / "shop", **variables)
    assert done.returncode != 0
    assert said in " ".join((done.stdout + done.stderr).split())
    assert not (tmp_path / "shop").exists()


def test_publish_sends_the_artifact_and_shows_no_token(tmp_path: Path, made: tuple[Path, str, str]) -> None:
    """To a server that takes PUT. While it is sent, the token stands in no command line of this machine."""
    folder = made[0]
    (folder / "dist").mkdir(exist_ok=True)
    (folder / "dist/shop-9.tar.gz").write_bytes(b"packed")
    (tmp_path / "headers").write_text("Authorization: Bearer opensesame\n")
    seen: dict[str, Any] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
            seen.update(
                path=self.path,
                token=self.headers["Authorization"],
                body=self.rfile.read(int(self.headers["Content-Length"])),
                shown=[line for line in lines if b"opensesame" in line],
                publishes=[line for line in lines if b"shop/publish\x009\x00" in line],
            )
            self.send_response(201)
            self.end_headers()

        def log_message(self, *_words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/shop/"
        done = run(folder / "publish", "9", url, tmp_path / "headers")
        server.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (seen["path"], seen["token"], seen["body"]) == ("/shop/shop-9.tar.gz", "Bearer opensesame", b"packed")
    assert seen["publishes"], "the command lines were not even read"
    assert seen["shown"] == []


def test_publish_says_what_is_missing(made: tuple[Path, str, str]) -> None:
    (made[0] / "dist").mkdir(exist_ok=True)
    (made[0] / "dist/shop-9.tar.gz").write_bytes(b"packed")
    nowhere, nothing = run(made[0] / "publish", "9"), run(made[0] / "publish", "8", "-i", "inventories/sandbox")
    assert (nowhere.returncode, nothing.returncode) == (1, 1)
    assert "publish: where? Write -i INVENTORY" in nowhere.stderr
    assert "write: build 8" in nothing.stderr
