# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Claims about users: which share of them had the features at each stage, and what the gate said of it."""

from __future__ import annotations

import math
from typing import Any, Sequence

from ansible_collections.gradual.rollout.plugins.module_utils.common.text import span
from ansible_collections.gradual.rollout.plugins.module_utils.flags import definition as flag_definition
from ansible_collections.gradual.rollout.plugins.module_utils.gate import verdict as gate_verdict
from ansible_collections.gradual.rollout.plugins.module_utils.report import rollback
from ansible_collections.gradual.rollout.plugins.module_utils.report.events import (
    Claim,
    Events,
    Line,
    at,
    between,
    claim,
    count,
    items,
    mapping,
    number,
    plural,
)

# A share counts as measured from so many users on, and as right when it is at most so many points off, or so many
# standard errors of a sample of that size where that is more: no measurement can be finer than its sample.
ENOUGH_USERS = 2000
POINTS = 2.0
STANDARD_ERRORS = 3.0


def claims(events: Events) -> list[Claim]:
    """All claims of this file, stage by stage."""
    result: list[Claim] = watched_before(events)
    if not events.features:
        none = (
            "this release has no features behind flags: there are no stages, and users have it as soon as every host"
            " has it"
        )
        return [
            claim("stages", none, None, [], "manifest.features is empty", good=None, criteria=(2,)),
            with_all_users(events),
        ]
    for percent in stages(events):
        result += [share(events, percent), verified(events, percent), gated(events, percent)]
    return [*result, *held_back(events), kept(events), reached(events)]


def with_all_users(events: Events) -> Claim:
    """Of a release without features: how many hosts run it in the end, and so whether all users have it."""
    wanted = mapping(events.manifest.get("artifact")).get("sha256")
    started = events.first("rollout.started")
    digests = {
        str(host): mapping(was).get("digest")
        for host, was in mapping(started["data"].get("hosts") if started else None).items()
    }
    moved = [line for line in events.lines if line["event"] in ("host.released", "host.returned")]
    digests.update({str(line["data"].get("host")): mapping(line["data"].get("to")).get("digest") for line in moved})
    have = sorted(host for host, digest in digests.items() if wanted and digest == wanted)
    lacking = sorted(set(digests) - set(have))
    text = f"no features behind flags: all users have the release, for all {plural(len(have), 'host')} run it"
    if lacking:
        text = (
            f"no features behind flags: users have the release on {len(have)} of {plural(len(digests), 'host')}, not on"
            f" {', '.join(lacking)}"
        )
    gone = rollback.asked(events) is not None
    return claim(
        "with-all-users",
        text,
        None if gone else {"have": have, "lacking": lacking} if moved else None,
        [started, *moved],
        "rollout.started: hosts, then host.released and host.returned: to.digest, against manifest.artifact.sha256",
        good=None if gone else not lacking,
        qualities=("reliability",),
        otherwise="no host was switched",
    )


def stages(events: Events) -> list[int]:
    """The stages of the manifest, none where there is no feature to show to a share of the users."""
    if not events.features:
        return []
    return [int(stage) for stage in items(events.manifest.get("stages")) if count(stage) is not None]


def shown(line: Line | None, percent: int) -> int:
    """The share that a line of a stage speaks of: less than the stage's while users are held back as its control."""
    found = count(line["data"].get("shown")) if line is not None else None
    return percent if found is None else found


def watched_before(events: Events) -> list[Claim]:
    """When, and for how long, the users of all stages were compared with the features off; no claim where the manifest
    knows no such stage."""
    bake, held = mapping(events.manifest.get("bake")), count(mapping(events.manifest.get("gate")).get("holdback")) or 0
    if not events.features or "aa" not in bake:
        return []
    needed = bool(count(bake["aa"])) and bool(flag_definition.labels_of(stages(events), held))
    ended = events.last("aa.ended")
    began = next(
        (line for line in reversed(events.of("aa.began")) if ended is not None and line["seq"] < ended["seq"]), None
    )
    since, until = (number(ended["data"].get(key)) if ended else None for key in ("since", "until"))
    seconds = between(since, until)
    variants = [str(variant) for variant in items(began["data"].get("variants") if began else None)]
    text = (
        f"for {span(seconds)} before the first stage the users of all stages ({', '.join(variants)} and the rest) were"
        " watched with the features off"
    )
    return [
        claim(
            "aa",
            text if needed else "the manifest wants no comparison with the features off, or leaves nobody to compare",
            {"since": since, "until": until, "seconds": seconds, "variants": variants} if seconds else None,
            [began, ended],
            "aa.ended: until minus since; aa.began before it: variants",
            good=True if needed else None,
            qualities=("reliability",),
            otherwise="the users of the stages were not compared with the features off",
        )
    ]


def held_back(events: Events) -> list[Claim]:
    """Which share of the users was kept without the features while the last stage baked; no claim where the manifest
    holds nobody back."""
    percent = count(mapping(events.manifest.get("gate")).get("holdback")) or 0
    if not events.features or not percent:
        return []
    line, certified = events.last("stage.set", percent=100), events.last("stage.certified", percent=100)
    kept_without = 100 - shown(line, 100)
    text = f"while 100 % baked, {kept_without} % of the users were kept without the features, as the control"
    text += "; with the certification they have them too" if certified is not None else ""
    return [
        claim(
            "holdback",
            text,
            {"percent": kept_without, "ended": certified is not None} if line else None,
            [line, certified],
            "stage.set at 100: 100 minus shown; stage.certified at 100 ends it",
            good=kept_without == percent,
            qualities=("reliability",),
            otherwise="the rollout did not go as far as 100 %",
        )
    ]


def _went_that_far(events: Events, percent: int) -> bool:
    return bool(events.of("stage.set", percent=percent))


def share(events: Events, percent: int) -> Claim:
    """Which share of the users had each feature at this stage, as asked through the front door."""
    line = events.last("stage.measured", percent=percent)
    seen = {flag: mapping(value) for flag, value in mapping(line["data"].get("features") if line else None).items()}
    shares = {
        flag: round(100 * found, 2) for flag, value in seen.items() if (found := number(value.get("share"))) is not None
    }
    users = min((count(value.get("users")) or 0 for value in seen.values()), default=0)
    unasked = bool(seen) and all(value.get("users") is None for value in seen.values())
    complete = bool(shares) and set(events.features) <= set(shares)
    wanted = shown(line, percent)
    right = (
        complete
        and users >= ENOUGH_USERS
        and all(abs(value - wanted) <= tolerance(wanted, users) for value in shares.values())
    )
    told = ", ".join(f"{flag} {value:.1f} %" for flag, value in sorted(shares.items()))
    return claim(
        f"share-{percent}",
        f"at {percent} %, {users:,} users asked through the front door had {told}",
        {"percent": percent, "users": users, "shares": shares} if shares and not unasked else None,
        [line],
        f"stage.measured at {percent}: share of each feature within {tolerance(wanted, users):.2g} points of {wanted}"
        f" %, of at least {ENOUGH_USERS} users",
        good=right,
        criteria=(2,),
        qualities=("reliability",),
        otherwise=(
            f"the application has no address to ask users' features at; its processes reported {told}"
            if unasked
            else "the share was not measured"
            if _went_that_far(events, percent)
            else f"the rollout did not go as far as {percent} %"
        ),
    )


def tolerance(percent: int, users: int) -> float:
    """Points by which a share measured on so many users may be off: sqrt(p (1 - p) / n) is the standard error of a
    share."""
    part = percent / 100
    return max(POINTS if 0 < part < 1 else 0.0, 100 * STANDARD_ERRORS * math.sqrt(part * (1 - part) / max(users, 1)))


def verified(events: Events, percent: int) -> Claim:
    """Did every live process on every host evaluate the share that was written?"""
    line = events.last("stage.verified", percent=percent)
    hosts = mapping(line["data"].get("hosts") if line else None)
    revision = line["data"].get("revision") if line else None
    wrong, processes = [], 0
    for name, found in sorted(hosts.items()):
        rows = [
            mapping(row)
            for row in (mapping(found).get("processes") or found if isinstance(found, dict) else items(found))
        ]
        processes += len({row.get("pid") for row in rows})
        fits = bool(rows) and all(_evaluates(number(row.get("share")), shown(line, percent)) for row in rows)
        same = len({row.get("revision") for row in rows}) == 1
        if not fits or not same:
            wrong.append(name)
    text = (
        f"at {percent} %, {plural(processes, 'process')} on {plural(len(hosts), 'host')} evaluated the share that was"
        " written"
    )
    return claim(
        f"verified-{percent}",
        (
            text
            if not wrong
            else f"at {percent} %, not every process evaluated the share that was written: {', '.join(wrong)}"
        ),
        (
            {"percent": percent, "hosts": len(hosts), "processes": processes, "revision": revision, "wrong": wrong}
            if hosts
            else None
        ),
        [line],
        f"stage.verified at {percent}: each process of each host tells a share that fits, one revision a host",
        good=not wrong,
        criteria=(2,),
        otherwise=(
            "no process was asked"
            if _went_that_far(events, percent)
            else f"the rollout did not go as far as {percent} %"
        ),
    )


def _evaluates(seen: float | None, percent: int) -> bool:
    """Whether a share of 100 fixed ids (0..1) fits: exactly at 0 and 100 %, else within 17 points, as feature_flags has
    it."""
    if seen is None:
        return False
    return seen == percent / 100 if percent in (0, 100) else abs(seen - percent / 100) <= 0.17


def recomputed(look: Line) -> str | None:
    """The verdict that the gate gives again on what was recorded with a look; None where counts or settings are not
    there."""
    try:
        return str(gate_verdict.judge_again(look["data"])["verdict"])
    except (gate_verdict.GateError, ArithmeticError, TypeError, ValueError, LookupError):
        return None


def _on_the_way(looks: Sequence[Line]) -> str:
    """What came before the last look and must not be lost with it: looks that held, and what nobody saw.

    Looks without notes are of an older record, whose report said nothing of it.
    """
    told = [
        (look["data"], items(mapping(look["data"].get("counts"))["notes"]))
        for look in looks
        if "notes" in mapping(look["data"].get("counts"))
    ]
    held = [str(data.get("reason")) for data, _notes in told[:-1] if data.get("verdict") == "hold"]
    text = f". Before that it held {plural(len(held), 'time')}, at last because {held[-1]}" if held else ""
    return text + "".join(f". {note}" for note in (told[-1][1] if told else ()))


def gated(events: Events, percent: int) -> Claim:
    """What the gate said at this stage, and whether its recorded counts give the same verdicts again."""
    looks = events.of("gate.looked", percent=percent)
    certified = events.last("stage.certified", percent=percent)
    said = [str(line["data"].get("verdict")) for line in looks]
    again = [recomputed(line) for line in looks]
    differ = [line["seq"] for line, old, new in zip(looks, said, again) if old != new]
    last = looks[-1] if looks else None
    good = not differ and (certified is None or (bool(said) and said[-1] == "promote"))
    text = f"at {percent} %, the gate looked {plural(len(looks), 'time')} and said {said[-1] if said else 'nothing'}"
    text += f": {last['data'].get('reason')}" if last is not None and last["data"].get("reason") else ""
    text += _on_the_way(looks)
    if differ:
        text += f". Its recorded counts do NOT give the recorded verdict (lines {', '.join(map(str, differ))})"
    elif certified is not None and not good:
        text += ". The stage was certified all the same"
    return claim(
        f"gate-{percent}",
        text,
        (
            {
                "percent": percent,
                "looks": len(looks),
                "verdict": said[-1],
                "recomputed": again[-1],
                "certified": certified is not None,
            }
            if looks
            else None
        ),
        [*looks, certified],
        f"gate.looked at {percent}: counts and settings judged again give the verdict of each look; certified only"
        " after promote",
        good=good,
        criteria=(3, 7),
        qualities=("performance", "reliability"),
        otherwise=(
            "the gate did not look"
            if _went_that_far(events, percent)
            else f"the rollout did not go as far as {percent} %"
        ),
    )


def kept(events: Events) -> Claim:
    """Did anybody lose a feature between two stages?"""
    measured = events.of("stage.measured")
    lost = [count(line["data"].get("lost")) for line in measured]
    known = len(measured) > 1 and all(value is not None for value in lost)
    total = sum(value or 0 for value in lost)
    return claim(
        "kept",
        f"of the users asked at {plural(len(measured), 'stage')}, {total or 'none'} lost a feature from one stage to"
        " the next",
        total if known else None,
        measured,
        "sum of lost over stage.measured, at least two of them",
        good=total == 0,
        criteria=(2,),
        qualities=("reliability",),
        otherwise="whether users keep a feature from stage to stage, for fewer than two stages were measured",
    )


def reached(events: Events) -> Claim:
    """How far the features were certified, and what users have in the end."""
    certified = events.of("stage.certified")
    off = events.last("flags.off")
    highest = max((count(line["data"].get("percent")) or 0 for line in certified), default=0)
    last = certified[-1] if certified else None
    taken_back = off is not None and (last is None or off["seq"] > last["seq"])
    text = f"the features were certified at {highest} % of the users" if highest else "no stage was certified"
    text += "; the features were turned off for all" if taken_back else ""
    if taken_back and rollback.asked(events) is not None:
        rule = "flags.off after the last stage.certified, by a rollback that was asked for"
        return claim("certified", f"{text}, as asked", None, [], rule, good=None, criteria=(2,))
    return claim(
        "certified",
        text,
        {"certified": highest, "off_again": taken_back} if certified or off else None,
        [*certified, off],
        "highest percent of stage.certified; flags.off after the last one",
        good=highest == 100 and not taken_back,
        criteria=(2,),
        otherwise="no stage was certified and no flag was turned off",
    )


def stage_rows(events: Events) -> list[dict[str, Any]]:
    """Each stage as it went: {percent, set, certified, off (epoch seconds or None), seconds, looks, verdict, reason,
    shares}."""
    rows = []
    for percent in stages(events):
        set_, certified = events.first("stage.set", percent=percent), events.last("stage.certified", percent=percent)
        looks = events.of("gate.looked", percent=percent)
        off = next((line for line in events.of("flags.off") if set_ is not None and line["seq"] > set_["seq"]), None)
        rows.append(
            {
                "percent": percent,
                "set": at(set_),
                "certified": at(certified),
                "seconds": between(at(set_), at(certified) or at(off)),
                "looks": len(looks),
                "verdict": looks[-1]["data"].get("verdict") if looks else None,
                "reason": looks[-1]["data"].get("reason") if looks else None,
                "shares": (share(events, percent)["value"] or {}).get("shares", {}),
            }
        )
    return rows


def stage_sentence(row: dict[str, Any]) -> str:
    """A stage in one line."""
    if row["set"] is None:
        return f"{row['percent']} %: not reached"
    shares = ", ".join(f"{flag} {value:.1f} %" for flag, value in sorted(row["shares"].items())) or "share not measured"
    ended = "certified" if row["certified"] is not None else "not certified"
    return f"{row['percent']} %: {shares}; {ended}" + (
        f" after {span(row['seconds'])}" if row["seconds"] is not None else ""
    )
