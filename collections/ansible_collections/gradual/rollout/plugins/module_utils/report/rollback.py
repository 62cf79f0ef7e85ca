# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Claims about the way back: whether there is one, whether it was walked, and how long a return took."""

from __future__ import annotations

import re

from ansible_collections.gradual.rollout.plugins.module_utils.common.text import span
from ansible_collections.gradual.rollout.plugins.module_utils.report import timeline
from ansible_collections.gradual.rollout.plugins.module_utils.report.events import (
    Claim,
    Events,
    Line,
    at,
    between,
    claim,
    items,
    mapping,
    number,
)
from ansible_collections.gradual.rollout.plugins.module_utils.report.timeline import aborts, failure

# What the ledger holds where a rollback was not needed, and where there is nothing to roll back to.
NOTHING_FAILED = "there is no step.failed and no look with abort before a rollback"
NOTHING_BEFORE = "rollout.started: hosts, all without a digest"


def claims(events: Events) -> list[Claim]:
    """All claims of this file."""
    return [way_back(events), *on_request(events), *times(events), rehearsal(events)]


def asked(events: Events) -> Line | None:
    """The step.started of a rollback that a person asked for: in this try no step had failed and no gate had stopped
    before it."""
    began = events.last("step.started", step="rollback")
    if began is None:
        return None
    again = [line["seq"] for line in events.of("rollout.resumed") if line["seq"] < began["seq"]]
    reasons = [*events.of("step.failed"), *aborts(events)]
    return None if any(max(again, default=0) < line["seq"] < began["seq"] for line in reasons) else began


def asked_by(events: Events) -> tuple[str | None, Line | None]:
    """Who asked for the rollback, and the line that says so: the person whom the rollback names, else who held the
    lease (user@controller)."""
    began = asked(events)
    if began is None:
        return None, None
    if began["data"].get("by"):
        return str(began["data"]["by"]), began
    leases = [
        line
        for line in events.all
        if line["rollout"] == events.rollout and line["event"] in ("lease.taken", "lease.renewed")
    ]
    held = next((line for line in reversed(leases) if line["seq"] < began["seq"] and line["data"].get("holder")), None)
    if held is None:
        return None, None
    # user@controller/mark:pid, and what comes after the name tells runs on one controller apart.
    return re.split("[/:]", str(held["data"]["holder"]))[0], held


def on_request(events: Events) -> list[Claim]:
    """What was asked, by whom, when, and how it went; no claim where nobody asked for a rollback."""
    began, (who, said_by) = asked(events), asked_by(events)
    if began is None:
        return []
    ended = next((line for line in events.of("return.finished") if line["seq"] > began["seq"]), None)
    _noticed, off = turn(events)
    left = timeline.left(events)
    seconds = {"features_off": between(at(began), at(off)), "returned": between(at(began), at(ended))}
    before = [line for line in events.lines if line["seq"] < began["seq"]]
    if any(line["event"] == "rollout.finished" for line in before):
        when = "after the rollout had ended"
    else:
        shown = next((line["data"] for line in reversed(before) if line["event"] == "stage.set"), None)
        when = f"at {shown.get('percent')} % of the users" if shown else "before any user was shown a feature"
    parts = [f"{who or 'somebody'} asked for the rollback {when}"]
    if off is not None:
        unseen = ", ".join(str(host) for host in items(off["data"].get("lost")))
        parts.append(
            f"the features were off on every host{f' but {unseen}' if unseen else ''} after"
            f" {span(seconds['features_off'])}"
        )
    if ended is not None and not left:
        kept = ended["data"].get("hosts_kept")
        parts.append(
            f"every host {'kept its release' if kept else 'runs what it ran before'}, after {span(seconds['returned'])}"
        )
    elif left:
        parts.append(f"not back: {', '.join(left)}")
    return [
        claim(
            "asked",
            "; ".join(parts),
            {"by": who, **seconds, "left": left} if ended else None,
            [said_by, began, off, ended],
            "step.started of rollback without a step.failed or a look with abort before it: by, else holder of the"
            " lease; return.finished: left",
            good=not left,
            criteria=(8,),
            qualities=("reliability",),
            otherwise=f"{parts[0]}, and it had not ended when the record ended",
        )
    ]


def _begun(events: Events) -> Line | None:
    """A contracting whose end is not known: whoever did it may have died on the way."""
    began, ended = events.last("contract.began"), events.last("contract.ended")
    return began if began and (ended is None or ended["seq"] < began["seq"]) else None


def nothing_before(events: Events) -> bool:
    """Whether no host ran a release when the rollout began: a first release."""
    started = events.first("rollout.started")
    before = mapping(started["data"].get("hosts")) if started else {}
    return bool(before) and not any(mapping(was).get("digest") for was in before.values())


def way_back(events: Events) -> Claim:
    """Did every switched host keep what it came from, and is the schema one that the old code runs on?"""
    released = events.of("host.released")
    started = events.first("rollout.started")
    before = mapping(started["data"].get("hosts")) if started else {}
    without = [
        str(line["data"].get("host")) for line in released if not mapping(line["data"].get("from")).get("digest")
    ]
    without += [name for name, was in before.items() if not mapping(was).get("digest") and name not in without]
    contracted = events.last("contract.applied") or _begun(events)
    if contracted is not None:
        done = (
            "was contracted: the release before cannot run on it"
            if contracted["event"] == "contract.applied"
            else ("began to be contracted and the end is not known: the release before may not run on it")
        )
        text = f"the schema {done}, and the code cannot be rolled back any more"
    elif without:
        text = f"nothing ran before on {', '.join(sorted(set(without)))}: there is no release to roll back to"
    else:
        text = "each host kept the release it came from, and the schema is one that it runs on"
    known = bool(before) or bool(released)
    if nothing_before(events) and contracted is None:
        why = "nothing ran before on any host: there is nothing to roll back to"
        return _not_needed("way-back", why, NOTHING_BEFORE)
    return claim(
        "way-back",
        text,
        {"hosts_without_previous": sorted(set(without)), "contracted": contracted is not None} if known else None,
        [started, *released, contracted],
        "host.released: from.digest is there for each host; no contract.applied, nor a contract.began without"
        " contract.ended",
        good=not without,
        criteria=(8,),
        qualities=("reliability",),
        otherwise="the record does not say what ran on the hosts before",
    )


def turn(events: Events) -> tuple[Line | None, Line | None]:
    """(the line at which the failure is known to have been noticed at the latest, the flags.off that followed it), None
    for what is not there.

    A role may turn flags off before it records why: then the line before flags.off stands for the noticing, so that a
    time is never too short.
    """
    stopped, failed, rollback = aborts(events), failure(events), events.of("step.started", step="rollback")
    request = asked(events)
    known = [
        line
        for line in (stopped[-1] if stopped else None, failed, rollback[-1] if rollback else None)
        if line is not None
    ]
    known = [request] if request is not None else known
    if not known:
        return None, None
    noticed = min(known, key=lambda line: line["seq"])
    shown = [line["seq"] for line in events.of("stage.set") if line["seq"] < noticed["seq"]]
    off = next(
        (
            line
            for line in events.of("flags.off")
            if shown and line["seq"] > shown[-1] and not line["data"].get("unverified")
        ),
        None,
    )
    if off is not None and off["seq"] < noticed["seq"]:
        noticed = events.lines[events.lines.index(off) - 1]
    return noticed, off


def moments(events: Events) -> dict[str, float | None]:
    """When things turned, in seconds since 1970: first bad answer, noticed, flags off, last host back."""
    noticed, off = turn(events)
    bad = [number(line["data"].get("first_bad_at")) for line in aborts(events)] if asked(events) is None else []
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
    request = asked(events)
    stopped = aborts(events) if request is None else []
    back, ended = events.last("host.returned"), events.last("return.finished")
    # Users who were shown nothing are safe when the hosts are back; the others when the features are off.
    # Where nobody could see that they are off, the code before is what makes them safe.
    unseen = off is None and any(line["data"].get("unverified") for line in events.of("flags.off"))
    bad, safe = (
        when["first_bad_at"],
        when["flags_off_at"] if events.of("stage.set") and not unseen else when["return_finished_at"],
    )
    beginning = "from noticing the failure" if request is None else "from the beginning of the rollback, as asked,"
    rows = (
        (
            "bad-to-flags-off",
            "from the first bad answer that the gate counted to flags off on every host",
            bad,
            when["flags_off_at"],
            [*stopped, off],
        ),
        (
            "bad-to-hosts-back",
            "from the first bad answer that the gate counted to the last host back",
            bad,
            when["hosts_back_at"],
            [*stopped, back],
        ),
        ("noticed-to-safe", f"{beginning} to users being safe", when["noticed_at"], safe, [noticed, off, ended]),
    )
    result = []
    for name, text, start, end, evidence in rows:
        if request is not None and name != "noticed-to-safe":
            result.append(
                _not_needed(name, "it was rolled back because somebody asked for it, not because of bad answers")
            )
            continue
        seconds = between(start, end)
        said = f"{text}: {seconds:.1f} s" if seconds is not None else text
        why = (
            "no user was given a bad answer that the gate counted"
            if start is None
            else "it had not come to that when the record ended"
        )
        if name == "bad-to-flags-off" and start is not None and not events.of("stage.set"):
            why = "no feature was shown to anybody"
        noticing = (
            "first of the last abort, step.failed and rollback, or the line before a flags.off that came before them"
        )
        rule = f"{'first_bad_at of gate.looked or canary.looked (abort)' if name.startswith('bad') else noticing} to "
        until = {"bad-to-flags-off": "flags.off", "bad-to-hosts-back": "the last host.returned"}
        rule += until.get(
            name,
            "flags.off that names no host as unverified, or return.finished where no stage was set or flags stayed"
            " unverified",
        )
        result.append(
            claim(name, said, seconds, evidence, rule, criteria=(8,), qualities=("reliability",), otherwise=why)
        )
    return result


def _not_needed(name: str, why: str = "nothing had to be rolled back", rule: str = NOTHING_FAILED) -> Claim:
    return claim(name, why, None, [], rule, good=None, criteria=(8,), qualities=("reliability",))


def rehearsal(events: Events) -> Claim:
    """Was the way back walked: by the canary of this rollout, or by the whole fleet in an earlier return?"""
    rehearsed = events.last("host.rehearsed")
    last = next(
        (line for line in reversed(events.all) if line["event"] == "return.finished" and not line["data"].get("left")),
        None,
    )
    begun = None
    if last is not None:
        earlier = [line for line in events.all if line["rollout"] == last["rollout"] and line["seq"] < last["seq"]]
        begun = next(
            (
                line
                for line in reversed(earlier)
                if line["event"] == "step.started" and line["data"].get("step") == "rollback"
            ),
            None,
        )
    parts, seconds = [], {}
    if rehearsed is not None:
        seconds["canary"] = number(rehearsed["data"].get("seconds"))
        version = mapping(rehearsed["data"].get("to")).get("version")
        parts.append(
            f"{rehearsed['data'].get('host')} went back to {version} and was ready in {span(seconds['canary'])}, before"
            " any user saw the new code"
        )
    if last is not None and begun is not None:
        seconds["fleet"] = between(at(begun), at(last))
        where = "in this rollout" if last["rollout"] == events.rollout else f"in {last['rollout']}"
        parts.append(f"the whole fleet came back {where}, in {span(seconds['fleet'])}")
    if not parts and nothing_before(events):
        why = "nothing ran before on any host: there is no way back to rehearse"
        return _not_needed("rehearsal", why, NOTHING_BEFORE)
    return claim(
        "rehearsal",
        "; ".join(parts),
        seconds or None,
        [rehearsed, begun if parts else None, last if begun else None],
        "the last host.rehearsed of the rollout; the last return.finished in the ledger that left no host, and the"
        " step.started of its rollback",
        criteria=(8,),
        qualities=("reliability",),
        otherwise=(
            "no canary rehearsed it and no return that left no host is in this ledger; rehearse it: ansible-playbook"
            " rollback.yml, then deploy again"
        ),
    )
