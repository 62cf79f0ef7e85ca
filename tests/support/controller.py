"""Another controller than this one, as AWX makes one for each job: another user, hostname and pid namespace, no HOME,
and a project that is
read-only. Needs root, or sudo.

    job = Job("awx-1", folder, "deploy.yml", *arguments)
    job.kill()            # as AWX cancels a job
    assert job.wait() == 0
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import fleet
from .seen import COLOURS
from .story import descendants
from .waiting import HANGS

USER, UID = "awx", 4242
VAULT = "inventories/sandbox/group_vars/all/vault.yml"
# Everything is mounted within the job's own namespace and ends with it: nothing of this machine is changed for it. The
# inventory's own key and
# vault are another user's, so the job has copies; and so may be the directory that the interpreter lies in, such as
# root's home.
SCRIPT = """
set -eu
hostname {name}
{{ cat /etc/passwd; echo '{user}:x:{uid}:{uid}::{files}/home:/bin/sh'; }} > {files}/passwd
mount --bind {files}/passwd /etc/passwd
if ! setpriv --reuid {uid} --regid {uid} --clear-groups -- test -x {python}/bin; then
    mkdir {files}/python
    mount --bind {python} {files}/python
    mount -t tmpfs -o mode=755 tmpfs {closed}
    mkdir -p {python}
    mount --bind {files}/python {python}
fi
mount --bind {home} {home}
mount -o remount,ro,bind {home}
mount --bind {files}/vault.yml {home}/{vault}
cd {home}
exec setpriv --reuid {uid} --regid {uid} --clear-groups -- env -i {environment} {command}
"""


def rights() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo"]


def _interpreter(venv: str) -> Path:
    """Where the interpreter that a virtual environment was made of is installed."""
    return (fleet.binaries(venv) / "python").resolve().parent.parent


class Job:
    """One run of a playbook on a controller of its own."""

    def __init__(self, name: str, folder: Path, playbook: str, *arguments: str, venv: str = ".venv") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.name, self._screen = name, folder / f"{name}.txt"
        self._files = Path(tempfile.mkdtemp(prefix="gradual-job-"))
        self._files.chmod(0o755)
        environment = {
            "PATH": fleet.clean_environment(venv)["PATH"],
            "GRADUAL_FLEET": fleet.NAME,
            "LC_ALL": "C.UTF-8",
            **self._secrets(),
        }
        if database := os.environ.get("GRADUAL_DATABASE"):
            environment["GRADUAL_DATABASE"] = database
        command = [
            str(fleet.binaries(venv) / "ansible-playbook"),
            playbook,
            *arguments,
            "-e",
            f"ansible_ssh_private_key_file={self._files}/key",
            "-e",
            f"report_copy_to={self._files}/home/reports",
        ]
        python = _interpreter(venv)
        script = SCRIPT.format(
            name=name,
            user=USER,
            uid=UID,
            files=self._files,
            home=fleet.HOME,
            command=shlex.join(command),
            python=python,
            vault=VAULT,
            closed=f"/{python.parts[1]}",
            environment=shlex.join(f"{key}={value}" for key, value in environment.items()),
        )
        with self._screen.open("wb") as screen:
            self._process = subprocess.Popen(
                [
                    *rights(),
                    "unshare",
                    "--mount",
                    "--uts",
                    "--pid",
                    "--fork",
                    "--kill-child",
                    "--mount-proc",
                    "sh",
                    "-c",
                    script,
                ],
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=screen,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _secrets(self) -> dict[str, str]:
        sandbox = fleet.HOME / ".sandbox"
        for source, name in (
            (sandbox / "ssh" / "id_ed25519", "key"),
            (sandbox / "vault-password", "vault-password"),
            (fleet.HOME / VAULT, "vault.yml"),
        ):
            if source.exists():
                shutil.copy(source, self._files / name)
        for name in ("connections", "home"):
            (self._files / name).mkdir()
        subprocess.run([*rights(), "chown", "-R", f"{UID}:{UID}", str(self._files)], check=True)
        return {
            "GRADUAL_VAULT_PASSWORD_FILE": f"{self._files}/vault-password",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": f"{self._files}/connections",
        }

    @property
    def screen(self) -> str:
        return COLOURS.sub("", self._screen.read_text())

    @property
    def over(self) -> bool:
        return self._process.poll() is not None

    def wait(self, timeout: float = HANGS) -> int:
        """The exit status, once it is over."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} was not over after {timeout:.0f} s: {self.screen[-2000:]}") from None
        finally:
            self._clean()

    def kill(self) -> None:
        """SIGKILL, for all that it started, at once."""
        pids = [str(pid) for pid in [self._process.pid, *descendants(self._process.pid)]]
        subprocess.run([*rights(), "kill", "-9", *pids], check=False, capture_output=True)
        self._process.wait(10)
        self._clean()

    def _clean(self) -> None:
        subprocess.run([*rights(), "rm", "-rf", str(self._files)], check=False)
