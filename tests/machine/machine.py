"""A machine that has just been handed over, beside this one: a root file system, processes and a network of its own.

It has what the README asks for and nothing that was ever installed here. It may read the images of this machine's
podman,
so that a host's image is not built twice; with GRADUAL_MACHINE_IMAGES=build it builds them itself.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

HOME = Path(__file__).resolve().parents[2]
RECIPE = HOME / "tests" / "machine" / "Containerfile"
SUDO = [] if os.geteuid() == 0 else ["sudo"]
PODMAN = [*SUDO, "env", f"CONTAINERS_CONF={HOME / 'sandbox' / 'containers.conf'}", "podman"]
USER = "deployer"
# What this machine's network asks of the clients of packages: no machine's own business.
CLIENTS = ("etc/pip.conf", "etc/resolv.conf", "etc/hosts", "etc/ssl/certs", "usr/local/share/ca-certificates")
VARIABLES = (
    "PIP_CERT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)
STORAGE = """[storage]
driver = "overlay"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
[storage.options]
additionalimagestores = ["/images"]
"""


def call(*argv: str | Path, data: bytes | None = None, check: bool = True) -> str:
    """What the command says; as root."""
    done = subprocess.run(
        [*SUDO, *argv],
        input=data,
        stdin=None if data is not None else subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, argv))}: {done.stderr.decode(errors='replace').strip()[-800:]}")
    return done.stdout.decode().strip()


@dataclass(frozen=True)
class Machine:
    root: Path
    pid: int

    def run(
        self, command: str, *, user: str = "root", log: Path, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a line of shell as this user in the home directory; the whole output is added to log. What sudo says out
        here, as that it cannot resolve this machine's name, is no output of the command."""
        home = "/root" if user == "root" else f"/home/{user}"
        told = [f"{name}={os.environ[name]}" for name in VARIABLES if os.environ.get(name)]
        argv = [
            *SUDO,
            "nsenter",
            "--target",
            str(self.pid),
            "--mount",
            "--uts",
            "--ipc",
            "--net",
            "--pid",
            "runuser",
            "-u",
            user,
            "--",
            "env",
            "-i",
            f"HOME={home}",
            f"USER={user}",
            f"LOGNAME={user}",
            "SHELL=/bin/bash",
            "LANG=C.UTF-8",
            "TERM=dumb",
            "PATH=/usr/local/bin:/usr/bin:/bin" + (":/usr/sbin:/sbin" if user == "root" else ""),
            *told,
            "bash",
            "-c",
            f"exec 2>&1; cd {home} && {command}",
        ]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        with open(log, "a") as file:
            file.write(f"{user}$ {command}\n{done.stderr}{done.stdout}")
        if check and done.returncode:
            raise AssertionError(
                f"`{command}` as {user} on a new machine: exit status {done.returncode} (the whole output is in"
                f" {log})\n" + "\n".join((done.stderr + done.stdout).splitlines()[-30:])
            )
        return done

    def has(self, program: str) -> bool:
        return any((self.root / folder / program).exists() for folder in ("usr/bin", "usr/sbin", "usr/local/bin"))

    def receive(self, where: str, owner: str) -> None:
        """Put the project there as a checkout would, with what is not yet committed; `.venv` and the like stay away."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=HOME,
            capture_output=True,
            check=True,
        ).stdout
        present = b"\0".join(name for name in listed.split(b"\0") if name and (HOME / name.decode()).is_file())
        packed = subprocess.run(
            ["tar", "-c", "--null", "--files-from=-"], cwd=HOME, input=present, capture_output=True, check=True
        ).stdout
        target = self.root / where.lstrip("/")
        call("mkdir", "-p", target)
        call("tar", "-C", target, "-x", "--no-same-owner", data=packed)
        number = call("stat", "--format", "%u:%g", self.root / "home" / owner) if owner != "root" else "0:0"
        call("chown", "-R", number, target)


def image() -> str:
    """The machine's image, made from the sandbox's plain Debian 12."""
    subprocess.run([HOME / "sandbox" / "fleet", "image"], stdin=subprocess.DEVNULL, check=True)
    name = f"localhost/gradual-machine:{hashlib.sha256(RECIPE.read_bytes()).hexdigest()[:12]}"
    podman = PODMAN[len(SUDO) :]
    if subprocess.run([*PODMAN, "image", "exists", name], check=False).returncode:
        call(
            *podman,
            "build",
            "--network",
            "host",
            "--build-arg",
            "base=localhost/gradual-base:bookworm",
            "--tag",
            name,
            "--file",
            RECIPE,
            RECIPE.parent,
        )
    return name


@contextmanager
def network(name: str) -> Iterator[None]:
    """A network namespace that reaches the world through this machine."""
    third = 100 + os.getpid() % 100
    subnet, here, there = f"10.99.{third}.0/30", f"10.99.{third}.1", f"10.99.{third}.2"
    rules = [
        ["-t", "nat", "{}", "POSTROUTING", "-s", subnet, "-j", "MASQUERADE"],
        ["{}", "FORWARD", "-s", subnet, "-j", "ACCEPT"],
        ["{}", "FORWARD", "-d", subnet, "-j", "ACCEPT"],
    ]
    forwarding = Path("/proc/sys/net/ipv4/ip_forward")
    call("ip", "netns", "add", name)
    try:
        call("ip", "link", "add", f"{name}o", "type", "veth", "peer", "name", f"{name}i", "netns", name)
        call("ip", "address", "add", f"{here}/30", "dev", f"{name}o")
        call("ip", "link", "set", f"{name}o", "up")
        for argv in (
            ["address", "add", f"{there}/30", "dev", f"{name}i"],
            ["link", "set", f"{name}i", "up"],
            ["link", "set", "lo", "up"],
            ["route", "add", "default", "via", here],
        ):
            call("ip", "-n", name, *argv)
        if forwarding.read_text().strip() != "1":
            call("tee", forwarding, data=b"1")
        for rule in rules:
            call("iptables", *("-I" if word == "{}" else word for word in rule))
        yield
    finally:
        for rule in rules:
            call("iptables", *("-D" if word == "{}" else word for word in rule), check=False)
        call("ip", "netns", "del", name, check=False)
        call("ip", "link", "del", f"{name}o", check=False)


@contextmanager
def machine() -> Iterator[Machine]:
    """A new machine; nothing of it is left when the block ends."""
    name = image()
    root = Path(tempfile.mkdtemp(prefix="gradual-machine-", dir="/var/tmp"))
    container = f"gradual-machine-{os.getpid()}"
    podman = PODMAN[len(SUDO) :]
    pid = None
    try:
        call("chmod", "755", root)
        call(*podman, "create", "--name", container, name, "true")
        exported = shlex.join(map(str, [*podman, "export", container]))
        call("bash", "-c", f"set -o pipefail; {exported} | tar -C {shlex.quote(str(root))} -x")
        for path in CLIENTS:
            if Path("/", path).exists():
                call("rm", "-rf", "--one-file-system", root / path)
                call("mkdir", "-p", (root / path).parent)
                call("cp", "-aL", f"/{path}", root / path)
        call("tee", "-a", root / "etc/hosts", data=b"\n127.0.1.1 new-machine\n")
        if os.environ.get("GRADUAL_MACHINE_IMAGES") != "build":
            call("mkdir", "-p", root / "etc/containers")
            call("tee", root / "etc/containers/storage.conf", data=STORAGE.encode())
        with network(f"gm{os.getpid()}"):
            store = call(*podman, "info", "--format", "{{.Store.GraphRoot}}")
            booted = subprocess.Popen(
                [*SUDO, HOME / "tests/machine/boot", root, f"gm{os.getpid()}", store],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            until = time.monotonic() + 30
            while not (root / "machine.pid").exists() or not (text := call("cat", root / "machine.pid")):
                if booted.poll() is not None or time.monotonic() > until:
                    booted.kill()
                    raise RuntimeError(
                        f"the new machine did not start: {booted.communicate()[1].decode(errors='replace')}"
                    )
                time.sleep(0.1)
            pid = int(text)
            try:
                yield Machine(root, pid)
            finally:
                call("kill", "-KILL", str(pid), check=False)
                with suppress(subprocess.TimeoutExpired):
                    booted.communicate(timeout=30)
    finally:
        call(*podman, "rm", "--force", container, check=False)
        for _try in range(5):
            call("rm", "-rf", "--one-file-system", root, check=False)
            if not root.exists():
                break
            time.sleep(2)
