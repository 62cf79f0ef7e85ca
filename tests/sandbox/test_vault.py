"""Secrets: who has no vault needs no password, and nothing is ever encrypted with a password that is no secret."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parents[2]
SCRIPT = HOME / "inventories/vault-password"
REFUSED = (
    "Nothing is encrypted with the password of the sandbox. Name your environment's own: GRADUAL_VAULT_PASSWORD_FILE"
)


def run(tool: str, *arguments: str | Path, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """A command of Ansible, from the project's root and with its configuration."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "GRADUAL_"))}
    return subprocess.run(
        [Path(sys.executable).with_name(tool), *arguments],
        cwd=HOME,
        input=text,
        env=inherited | {"EDITOR": "true"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own"
    path.write_text("chosen\n")
    return path


def test_the_password_is_read_from_a_file_or_a_program_and_a_missing_one_is_told(tmp_path: Path, own: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho printed\n")
    program.chmod(0o755)
    for path, wanted in ((own, "chosen\n"), (program, "printed\n")):
        assert (
            subprocess.run(
                [SCRIPT],
                env=os.environ | {"GRADUAL_VAULT_PASSWORD_FILE": str(path)},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            == wanted
        )
    missing = subprocess.run(
        [SCRIPT], env=os.environ | {"GRADUAL_VAULT_PASSWORD_FILE": "/none"}, capture_output=True, text=True, check=False
    )
    assert (missing.returncode, missing.stdout) == (1, "")
    assert missing.stderr.startswith("GRADUAL_VAULT_PASSWORD_FILE is /none, which cannot be read")


def test_who_has_no_vault_needs_no_password(tmp_path: Path) -> None:
    (tmp_path / "inventories").mkdir()
    alone = tmp_path / "inventories" / "vault-password"
    alone.write_text(SCRIPT.read_text())
    alone.chmod(0o755)
    said = subprocess.run([alone], env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True)
    assert said.stdout == "no-vault-password-here\n"


@pytest.mark.parametrize(
    "words",
    [
        ("encrypt", "FILE"),
        ("-v", "encrypt", "FILE"),
        ("encrypt_string", "secret"),
        ("create", "NEW"),
        ("rekey", "VAULT"),
    ],
)
def test_nothing_is_encrypted_with_the_password_of_the_sandbox(
    tmp_path: Path, own: Path, words: tuple[str, ...]
) -> None:
    plain, vault = tmp_path / "FILE", tmp_path / "VAULT"
    plain.write_text("a: 1\n")
    vault.write_text("a: 1\n")
    assert run("ansible-vault", "encrypt", vault, GRADUAL_VAULT_PASSWORD_FILE=str(own)).returncode == 0
    before = vault.read_text()
    done = run("ansible-vault", *(tmp_path / word if word.isupper() else word for word in words))
    assert done.returncode != 0
    assert REFUSED in done.stderr
    assert "VAULT;" not in done.stdout
    assert (plain.read_text(), vault.read_text(), (tmp_path / "NEW").exists()) == ("a: 1\n", before, False)


@pytest.mark.parametrize(
    "how", [{"GRADUAL_VAULT_PASSWORD_FILE": "OWN"}, ["--vault-id", "production@OWN"], ["--vault-password-file", "OWN"]]
)
def test_a_password_of_ones_own_encrypts(tmp_path: Path, own: Path, how: dict[str, str] | list[str]) -> None:
    environment = {key: str(own) for key in how} if isinstance(how, dict) else {}
    words = [] if isinstance(how, dict) else [word.replace("OWN", str(own)) for word in how]
    plain = tmp_path / "secrets.yml"
    plain.write_text("a: 1\n")
    done = run("ansible-vault", "encrypt", *words, plain, **environment)
    assert done.returncode == 0, done.stderr
    assert REFUSED not in done.stderr
    assert plain.read_text().startswith("$ANSIBLE_VAULT;")
    seen = run("ansible-vault", "view", plain, GRADUAL_VAULT_PASSWORD_FILE=str(own))
    assert seen.stdout == "a: 1\n"
    again = run("ansible-vault", "rekey", *words, "--new-vault-password-file", own, plain, **environment)
    assert again.returncode == 0, again.stderr


def test_values_that_are_encrypted_by_themselves_stay_so_in_an_export(tmp_path: Path, own: Path) -> None:
    """As the example's vault.yml says it: the export is what AWX keeps of an inventory."""
    names = ("vault_session_key", "vault_alert_webhook_token")
    environment = {"GRADUAL_VAULT_PASSWORD_FILE": str(own)}
    values = "".join(
        run("ansible-vault", "encrypt_string", "--stdin-name", name, text=f"plain-{name}", **environment).stdout + "\n"
        for name in names
    )
    (tmp_path / "hosts.yml").write_text("all: {hosts: {here: {ansible_connection: local}}}\n")
    secrets = tmp_path / "group_vars" / "all" / "vault.yml"
    secrets.parent.mkdir(parents=True)
    secrets.write_text(values)
    exported = run("ansible-inventory", "-i", tmp_path / "hosts.yml", "--list", "--export", **environment)
    assert exported.returncode == 0, exported.stderr
    assert "__ansible_vault" in exported.stdout
    assert "plain-" not in exported.stdout
    used = run(
        "ansible",
        "-i",
        tmp_path / "hosts.yml",
        "here",
        "-m",
        "ansible.builtin.debug",
        "-a",
        "var=vault_session_key",
        **environment,
    )
    assert "plain-vault_session_key" in used.stdout, used.stderr
    # The negative control: a whole file that is encrypted is told in plain text.
    secrets.write_text("vault_session_key: plain-again\n")
    assert run("ansible-vault", "encrypt", secrets, **environment).returncode == 0
    assert (
        "plain-again"
        in run("ansible-inventory", "-i", tmp_path / "hosts.yml", "--list", "--export", **environment).stdout
    )


@pytest.mark.parametrize(("environment", "kept_out"), [("sandbox", True), ("production", False), ("example", False)])
def test_only_the_secrets_of_the_sandbox_are_kept_out_of_the_repository(environment: str, kept_out: bool) -> None:
    path = f"inventories/{environment}/group_vars/all/vault.yml"
    assert (
        subprocess.run(["git", "check-ignore", "--quiet", "--no-index", path], cwd=HOME, check=False).returncode == 0
    ) is kept_out
