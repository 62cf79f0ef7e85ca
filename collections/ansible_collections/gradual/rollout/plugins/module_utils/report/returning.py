# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Claims about the way back: whether there is one, whether it was walked, and how long a return took."""

from __future__ import annotations

from ansible_collections.gradual.rollout.plugins.module_utils.plan import span
from ansible_collections.gradual.rollout.plugins.module_utils.report.canary import aborts
from ansible_collections.gradual.rollout.plugins.module_utils.report.events import Claim, Events, Line, at, between, claim, mapping, number
from ansible_collections.gradual.rollout.plugins.module_utils.report.way import failure


def claims(events: Events) -> list[Claim]:
    """All claims of this file."""
    return [way_back(events), *times(events), rehearsal(events)]


def _begun(events: Events) -> Line | None:
    """A contracting whose end is not known: whoever did it may have died on the way."""
    began, ended = events.last("contract.began"), events.last("contract.ended")
    return began if began and (ended is None or ended["seq"] < began["seq"]) else None


def way_back(events: Events) -> Claim:
    """Did every switched host keep what it came from, and is the schema one that the old code runs on?"""
    released = events.of("host.released")
    started = events.first("rollout.started")
    before = mapping(started["data"].get("hosts")) if started else {}
    without = [str(line["data"].get("host")) for line in released if not mapping(line["data"].get("from")).get("digest")]
    without += [name for name, was in before.items() if not mapping(was).get("digest") and name not in without]
    contracted = events.last("contract.applied") or _begun(events)
    if contracted is not None:
        done = "was contracted: the release before cannot run on it" if contracted["event"] == "contract.applied" else (
            "began to be contracted and the end is not known: the release before may not run on it")
        text = f"the schema {done}, and code does not go back past this point"
    elif without:
        text = f"nothing ran before on {', '.join(sorted(set(without)))}: there is no release to go back to"
    else:
        text = "each host kept the release it came from, and the schema is one that it runs on"
    known = bool(before) or bool(released)
    if before and len(set(without)) == len(before) and contracted is None:
        why = "nothing ran before on any host: there is nothing to go back to"
        return claim("way-back", why, None, [], "rollout.started: hosts, all without a digest", good=None, criteria=(8,), qualities=("reliability",))
    return claim(
        "way-back",
        text,
        {"hosts_without_previous": sorted(set(without)), "contracted": contracted is not None} if known else None,
        [started, *released, contracted],
        "host.released: from.digest is there for each host; no contract.applied, nor a contract.began without contract.ended",
        good=not without,
        criteria=(8,),
        qualities=("reliability",),
        otherwise="the record does not say what ran on the hosts before",
    )


def turn(events: Events) -> tuple[Line | None, Line | None]:
    """(the line at which the failure is known to have been noticed at the latest, the flags.off that followed it), None for what is not there.

    A role may turn flags off before it records why: then the line before flags.off stands for the noticing, so that a time is never too short.
    """
    stopped, failed, rollback = aborts(events), failure(events), events.of("step.started", step="rollback")
    known = [line for line in (stopped[-1] if stopped else None, failed, rollback[-1] if rollback else None) if line is not None]
    if not known:
        return None, None
    noticed = min(known, key=lambda line: line["seq"])
    shown = [line["seq"] for line in events.of("stage.set") if line["seq"] < noticed["seq"]]
    off = next((line for line in events.of("flags.off") if shown and line["seq"] > shown[-1] and not line["data"].get("unverified")), None)
    if off is not None and off["seq"] < noticed["seq"]:
        noticed = events.lines[events.lines.index(off) - 1]
    return noticed, off


def moments(events: Events) -> dict[str, float | None]:
    """When things turned, in seconds since 1970: first bad answer, noticed, flags off, last host back."""
    noticed, off = turn(events)
    bad = [number(line["data"].get("first_bad_at")) for line in aborts(events)]
    return {
        "first_bad_at": min((value for value in bad if value is not None), default=None),
        "noticed_at": at(noticed),
        "flags_off_at": at(off),
        "hosts_back_at": at(events.last("host.returned")) if noticed is not None else None,
        "return_finished_at": at(events.last("return.finished")) if noticed is not None else None,
    }


def times(events: Events) -> list[Claim]:
    """From the first bad answer to flags off, to the last host back, and to the state in which users were safe."""
    when = moments(events)
    noticed, off = turn(events)
    if noticed is None:
        return [_not_needed(name) for name in ("bad-to-flags-off", "bad-to-hosts-back", "noticed-to-safe")]
    stopped = aborts(events)
    back, ended = events.last("host.returned"), events.last("return.finished")
    # Users who were shown nothing are safe when the hosts are back; the others when the features are off.
    # Where nobody could see that they are off, the code before is what makes them safe.
    unseen = off is None and any(line["data"].get("unverified") for line in events.of("flags.off"))
    bad, safe = when["first_bad_at"], when["flags_off_at"] if events.of("stage.set") and not unseen else when["return_finished_at"]
    beginning = "from noticing the failure" if stopped or failure(events) else "from beginning to go back, as asked,"
    rows = (
        ("bad-to-flags-off", "from the first bad answer that the gate counted to flags off on every host", bad, when["flags_off_at"], [*stopped, off]),
        ("bad-to-hosts-back", "from the first bad answer that the gate counted to the last host back", bad, when["hosts_back_at"], [*stopped, back]),
        ("noticed-to-safe", f"{beginning} to users being safe", when["noticed_at"], safe, [noticed, off, ended]),
    )
    result = []
    for name, text, start, end, evidence in rows:
        seconds = between(start, end)
        said = f"{text}: {seconds:.1f} s" if seconds is not None else text
        why = "no user was given a bad answer that the gate counted" if start is None else "it had not come to that when the record ended"
        if name == "bad-to-flags-off" and start is not None and not events.of("stage.set"):
            why = "no feature was shown to anybody"
        noticing = "first of the last abort, step.failed and rollback, or the line before a flags.off that came before them"
        rule = f"{'first_bad_at of gate.looked or canary.looked (abort)' if name.startswith('bad') else noticing} to "
        until = {"bad-to-flags-off": "flags.off", "bad-to-hosts-back": "the last host.returned"}
        rule += until.get(name, "flags.off that names no host as unverified, or return.finished where no stage was set or flags stayed unverified")
        result.append(claim(name, said, seconds, evidence, rule, criteria=(8,), qualities=("reliability",), otherwise=why))
    return result


def _not_needed(name: str) -> Claim:
    rule = "there is no step.failed, no look with abort and no rollback"
    return claim(name, "nothing had to be taken back", None, [], rule, good=None, criteria=(8,), qualities=("reliability",))


def rehearsal(events: Events) -> Claim:
    """Was the way back walked: by the canary of this rollout, or by the whole fleet in an earlier return?"""
    rehearsed = events.last("host.rehearsed")
    last = next((line for line in reversed(events.all) if line["event"] == "return.finished" and not line["data"].get("left")), None)
    begun = None
    if last is not None:
        earlier = [line for line in events.all if line["rollout"] == last["rollout"] and line["seq"] < last["seq"]]
        begun = next((line for line in reversed(earlier) if line["event"] == "step.started" and line["data"].get("step") == "rollback"), None)
    parts, seconds = [], {}
    if rehearsed is not None:
        seconds["canary"] = number(rehearsed["data"].get("seconds"))
        version = mapping(rehearsed["data"].get("to")).get("version")
        parts.append(f"{rehearsed['data'].get('host')} went back to {version} and was ready in {span(seconds['canary'])}, before any user saw the new code")
    if last is not None and begun is not None:
        seconds["fleet"] = between(at(begun), at(last))
        where = "in this rollout" if last["rollout"] == events.rollout else f"in {last['rollout']}"
        parts.append(f"the whole fleet came back {where}, in {span(seconds['fleet'])}")
    return claim(
        "rehearsal",
        "; ".join(parts),
        seconds or None,
        [rehearsed, begun if parts else None, last if begun else None],
        "the last host.rehearsed of the rollout; the last return.finished in the ledger that left no host, and the step.started of its rollback",
        criteria=(8,),
        qualities=("reliability",),
        otherwise="no canary rehearsed it and no return that left no host is in this ledger; rehearse it: ansible-playbook rollback.yml, then deploy again",
    )
