# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Run programs from argv lists, as another user if needed, and never leave one running."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pwd
import re
import signal
import subprocess
import sys
import traceback
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, NoReturn, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.errors import DatabaseError, sentence
from ansible_collections.gradual.rollout.plugins.module_utils.postgresql.masking import masked

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
# The first words of a line that says more about the line before it.
_MORE = re.compile(r"\w+: (?:detail|hint): |(?:DETAIL|HINT):  ")


def die_with_parent(signal_number: int = signal.SIGTERM) -> None:
    """Ask the kernel to send this process the signal when its parent dies, kill -9 included."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal_number))


@dataclass(frozen=True)
class Finished:
    """How a program ended."""

    argv: tuple[str, ...]
    status: int
    output: str
    errors: str

    @property
    def name(self) -> str:
        return os.path.basename(self.argv[0])


def run(
    argv: Sequence[str],
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
    send: bytes | None = None,
) -> Finished:
    """Run a program to its end or to the timeout, with English messages and without a terminal."""
    with beside(argv, environment) as process:
        return finished(process, argv, timeout, send)


def run_sql(
    program: str, database: str, file: str = "-", send: bytes | None = None, timeout: float | None = None
) -> None:
    """Have psql (`program`) run the statements of a file, or those that are sent; DatabaseError at the first failure.

    database: a connection string. Its warnings are no failure: a copy without logical WAL warns of a publication, and
    one without a connection of a subscription.
    """
    argv = [program, "--no-password", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--output", os.devnull]
    done = run([*argv, "--dbname", database, "--file", file], send=send, timeout=timeout)
    if done.status != 0:
        strictly(done)


@contextlib.contextmanager
def beside(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Start a program, for `finished` to wait for. It is killed when the block ends before it."""
    try:
        process = subprocess.Popen(
            list(argv),
            env={**clean_environment(), **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=die_with_parent,  # noqa: PLW1509 (a module has no threads)
            cwd="/",
        )
    except OSError as error:
        raise DatabaseError(f"{argv[0]} cannot be run: {error.strerror}") from None
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def finished(
    process: subprocess.Popen[bytes], argv: Sequence[str], timeout: float | None = None, send: bytes | None = None
) -> Finished:
    """Wait for its end. timeout in seconds."""
    try:
        output, errors = process.communicate(send, timeout)
    except subprocess.TimeoutExpired:
        raise DatabaseError(
            f"{os.path.basename(argv[0])} did not end within {timeout:.0f} s and was killed; raise timeout if this"
            " database needs longer"
        ) from None
    return Finished(tuple(argv), process.returncode, output.decode(errors="replace"), errors.decode(errors="replace"))


def clean_environment() -> dict[str, str]:
    """An environment without the caller's PG* variables and locale."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C", "PGCONNECT_TIMEOUT": "10"}


def strictly(finished: Finished, harmless: Sequence[str] = ()) -> list[str]:
    """Raise for a status other than 0, and for every line on stderr that is not known as harmless.

    harmless: beginnings of lines. Returns the harmless lines. The details of another line are as harmful as that line:
    they may be all that the server itself said.
    """
    # Masked as a whole, because a statement goes over several lines. Not splitlines(): a name may hold other ends.
    lines = [line for line in masked(finished.errors).split("\n") if line.strip()]
    known: list[str] = []
    strange: list[str] = []
    kept = known
    for line in lines:
        if kept is known or not _MORE.match(line):
            kept = known if line.startswith(tuple(harmless)) else strange
        kept.append(line)
    if finished.status != 0 or strange:
        how = (
            f"ended with status {finished.status}"
            if finished.status >= 0
            else f"was killed by signal {-finished.status}"
        )
        said = "; ".join(strange[:8]) or "nothing"
        raise DatabaseError(f"{finished.name} {how} and said: {said}")
    return known


def account(name: str) -> pwd.struct_passwd:
    """The account of that name on this host."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise DatabaseError(
            f"there is no user {name!r} on this host; run this on the database host, or write another user"
        ) from None


def credentials(name: str | None) -> dict[str, Any]:
    """Popen's arguments to run a program as that user without its other groups; {} for None, the present user."""
    if name is None:
        return {}
    who = account(name)
    return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}


@dataclass(frozen=True)
class Unfinished:
    """A result, and the rest of the work: it is done after the result was returned, and nobody waits for it."""

    result: Any
    rest: Callable[[], None]


# The process that as_user has started, if this is one.
_CHILDREN: set[int] = set()


def as_user(name: str, work: Callable[[], Any]) -> Any:
    """Do the work in a child process that becomes that user, and return its (JSON) result.

    The module's own process keeps its user, so that Ansible can clean up. The child ends with its parent, and what it
    has started ends with it, however the parent ends. Inside such a child, the work is done at once.

    If the work returns Unfinished, this returns its result, and a process that outlives the parent does the rest.
    """
    who = account(name)
    if os.geteuid() == who.pw_uid and os.getpid() in _CHILDREN:
        done = work()
        if isinstance(done, Unfinished):
            done.rest()
        return done.result if isinstance(done, Unfinished) else done
    if os.geteuid() not in (0, who.pw_uid):
        raise DatabaseError(
            f"this must run as user {name!r}, but the module runs as uid {os.geteuid()}; write become: true"
        )
    reading, writing = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(who, parent, writing, work)
    os.close(writing)
    try:
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
    except BaseException:
        os.kill(child, signal.SIGTERM)
        raise
    finally:
        status = os.waitpid(child, 0)[1]
    if not answer:
        raise DatabaseError(f"the process of user {name!r} was killed (wait status {status}); run this again")
    told = json.loads(answer)
    if "error" in told:
        raise DatabaseError(told["error"], told["sqlstate"])
    return told["result"]


def _child(who: pwd.struct_passwd, parent: int, writing: int, work: Callable[[], Any]) -> NoReturn:
    """Become the user, do the work, write the result to the pipe, and end without the parent's exit handlers."""
    try:
        rest = None
        try:
            _CHILDREN.add(os.getpid())
            if os.geteuid() != who.pw_uid:
                os.initgroups(who.pw_name, who.pw_gid)
                os.setgid(who.pw_gid)
                os.setuid(who.pw_uid)
            signal.signal(signal.SIGTERM, _end)
            die_with_parent()
            if os.getppid() != parent:
                os._exit(1)
            os.environ["HOME"] = who.pw_dir
            os.umask(0o077)
            os.chdir("/")
            done = work()
            if isinstance(done, Unfinished):
                done, rest = done.result, done.rest
            told = {"result": done}
        except DatabaseError as error:
            told = {"error": str(error), "sqlstate": error.sqlstate}
        except OSError as error:
            told = {"error": sentence(error), "sqlstate": ""}
        except Exception as error:
            told = {"error": f"this is a bug in Gradual, please report it: {_told(error)}", "sqlstate": ""}
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(json.dumps(told).encode())
        if rest:
            # Before this process ends, for which the module waits: its terminal may hang up then.
            _detach()
            if os.fork() == 0:
                rest()
        os._exit(0)
    finally:
        os._exit(1)


def _detach() -> None:
    """Leave the session and the pipes of the module: Ansible waits until nobody has them open."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(nothing, number)


def _told(error: Exception) -> str:
    """The error and the calls that led to it, without their source lines: this user may not be allowed to read them."""
    calls = [
        f"{frame.f_code.co_name} ({frame.f_code.co_filename}, line {line})"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    return f"{type(error).__name__}: {error}, in {', '.join(calls)}"


def _end(number: int, _frame: Any) -> None:
    sys.exit(128 + number)


@contextlib.contextmanager
def effective_user(name: str) -> Iterator[None]:
    """Be that effective user during a connect, for PostgreSQL's peer authentication."""
    who = account(name)
    if os.geteuid() in (who.pw_uid,) or os.geteuid() != 0:
        yield
        return
    group = os.getegid()
    os.setegid(who.pw_gid)
    os.seteuid(who.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
