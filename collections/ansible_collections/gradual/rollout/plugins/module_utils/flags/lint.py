# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""What is wrong with a flag file of flagd's format. Pure functions over parsed JSON.

Gradual's own flags are held to what Gradual writes (`lint`), since a mistake that flagd's JSON Schema does not see
changes what users get. A file may hold flags of others beside them: disabled, without a default, with any weights and
computed variants. All that flagd takes is right there. What counts is what makes a provider refuse the *whole* file,
for then no flag in it changes any more (`refusals`), and that a feature of the manifest does not take the name of
somebody else's flag (`flag_problems`).
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.gradual.rollout.plugins.module_utils.flags import kill_mark

# The order is part of the contract: swapping it takes the feature from every user who has it.
ARMS = ("on", "off")
# A variant of the A/A stage: off, and named after the stage that shows the feature to its users.
AA = re.compile(r"aa(?P<percent>[1-9][0-9]?)\Z")
DEEPEST = 40
# The keys of a flag that every provider knows; the Python provider refuses a file in which a flag has another.
KEYS = frozenset({"key", "state", "variants", "defaultVariant", "targeting", "metadata", "source", "selector"})


def refusals(document: t.Any, but: t.Collection[str] = ()) -> t.List[str]:
    """What makes a provider refuse the whole file, one sentence each; [] when it takes the file.

    Flags named in `but` are not looked at."""
    if not isinstance(document, dict):
        return [f"it is {_short(document)}; write an object with flags"]
    flags = document.get("flags", {})
    if not isinstance(flags, dict):
        return [f"flags is {_short(flags)}; write an object, flag by flag"]
    found = [f"metadata: {mistake}" for mistake in _metadata_mistakes(document.get("metadata", {}))]
    if document.get("$evaluators") and not isinstance(document["$evaluators"], dict):
        found.append(f"$evaluators is {_short(document['$evaluators'])}; write an object")
    for name, flag in flags.items():
        if name not in but:
            found += [f"flag {name}: {mistake}" for mistake in _refused(flag)]
    return found


def _refused(flag: t.Any) -> t.List[str]:
    if not isinstance(flag, dict):
        return [f"is {_short(flag)}; write an object with state and variants"]
    found = []
    if flag.get("state") not in ("ENABLED", "DISABLED"):
        found.append(f"state is {_short(flag.get('state'))}; write ENABLED or DISABLED")
    if not isinstance(flag.get("variants"), dict) or not flag["variants"]:
        found.append(f"variants is {_short(flag.get('variants'))}; write an object with a value for each variant")
    if flag.get("defaultVariant") and not isinstance(flag["defaultVariant"], (str, bool)):
        found.append(f"defaultVariant is {_short(flag['defaultVariant'])}; write the name of a variant, or null")
    if flag.get("metadata"):
        found += [f"metadata: {mistake}" for mistake in _metadata_mistakes(flag["metadata"])]
    return found


def _metadata_mistakes(metadata: t.Any) -> t.List[str]:
    if not isinstance(metadata, dict):
        return [f"it is {_short(metadata)}; write an object"]
    wrong = [
        f"{key} is {_short(value)}; write text, a number, true or false"
        for key, value in metadata.items()
        if not isinstance(value, (str, int, float))
    ]
    return wrong + (["a key is empty; give it a name"] if "" in metadata else [])


def flag_problems(
    hosts: t.Mapping[str, t.Mapping[str, t.Any]], manifest: t.Mapping[str, t.Any], path: str = "the flag file"
) -> t.List[str]:
    """Why the flag files that a rollout finds would not do as it says; an empty list when they will.

    hosts: the result of host_info of each application host by name; manifest: the release manifest;
    path: the flag file, for people.
    """
    wanted = [feature["flag"] for feature in manifest.get("features") or []]
    found = []
    for host, seen in sorted(hosts.items()):
        if seen.get("flags_error"):
            advice = "Mend the file, or remove it where it holds no flag of anybody else"
            found.append(f"{host}: {seen['flags_error']}. {advice}")
        document = seen.get("flags")
        if document is None:
            continue
        for mistake in refusals(document, wanted):
            whole = f"{path} would be refused as a whole, so that no feature could be shown or taken back"
            found.append(f"{host}: {whole}: {mistake}")
        flags = document.get("flags")
        for flag in wanted:
            reason = strange(flags[flag]) if isinstance(flags, dict) and flag in flags else None
            if reason:
                found.append(
                    f"{host}: {path} holds a flag {flag} that is not Gradual's: {reason}. "
                    "Call the feature's flag otherwise in the manifest, or take this one out of the file"
                )
    return found + _kills(hosts, wanted)


def _kills(hosts: t.Mapping[str, t.Mapping[str, t.Any]], wanted: t.Sequence[str]) -> t.List[str]:
    """Which of the features were killed: one sentence each, by the mark of the first host that has one."""
    marks = {host: kill_mark.marks(seen.get("flags"), wanted) for host, seen in sorted(hosts.items())}
    found = []
    for flag in wanted:
        where = [host for host, killed in marks.items() if flag in killed]
        if where:
            told = kill_mark.sentence(flag, dataclasses.asdict(marks[where[0]][flag]))
            found.append(
                f"{told} (marked on {', '.join(where)}). {kill_mark.remedy(flag)}. To deploy with the feature off, take"
                " it out of the manifest"
            )
    return found


def flag_notes(hosts: t.Mapping[str, t.Mapping[str, t.Any]]) -> t.List[str]:
    """What some providers refuse in the flag files on the hosts and flagd itself takes; one sentence for each flag."""
    odd: t.Dict[str, t.List[str]] = {}
    for host, seen in sorted(hosts.items()):
        flags = (seen.get("flags") or {}).get("flags")
        for name, flag in flags.items() if isinstance(flags, dict) else ():
            for key in sorted(set(flag) - KEYS) if isinstance(flag, dict) else ():
                odd.setdefault(f"flag {name} has the key {_short(key)}", []).append(host)
    return [
        f"{what} in the flag file of {', '.join(where)}: flagd takes it, but the Python provider refuses the whole file"
        " for it, and then no feature can be shown"
        for what, where in odd.items()
    ]


def strange(flag: t.Any) -> t.Optional[str]:
    """Why a flag with the name of a feature is not Gradual's to change; None when it is, or shows it to nobody."""
    variants = flag.get("variants") if isinstance(flag, dict) else None
    if not isinstance(variants, dict) or variants.get("on") is not True or variants.get("off") is not False:
        return f"its variants are {_short(variants)}, wanted are on: true and off: false"
    others = [name for name, value in variants.items() if name not in ARMS and not (AA.match(name) and value is False)]
    if others:
        return f"it has the further variant {', '.join(others)}"
    metadata = flag.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("revision"), int):
        return None
    if flag.get("state") == "ENABLED" and flag.get("defaultVariant") == "off" and flag.get("targeting") in (None, {}):
        return None
    return "it has no metadata.revision, so Gradual has not written it, and it may show the feature to somebody"


def lint(document: t.Any) -> t.List[str]:
    """Mistakes that change what users get, one sentence each; [] when there is none. Never raises, whatever the file
    holds."""
    if not isinstance(document, dict) or not isinstance(document.get("flags"), dict):
        return ['the file has no object "flags" at its top']
    found: t.List[str] = []
    for name, flag in document["flags"].items():
        found += [f"flag {name}: {mistake}" for mistake in _lint_flag(flag)]
    return found


def _lint_flag(flag: t.Any) -> t.List[str]:
    if not isinstance(flag, dict):
        return [f"is {_short(flag)}; write an object with state, variants and defaultVariant"]
    found = []
    if flag.get("state") not in ("ENABLED", "DISABLED"):
        found.append(f"state is {_short(flag.get('state'))}; write ENABLED or DISABLED")
    elif flag["state"] == "DISABLED":
        found.append(
            "state DISABLED gives the default in the code; to switch a feature off write ENABLED, defaultVariant off,"
            " no targeting"
        )
    variants = flag.get("variants")
    if not isinstance(variants, dict) or not variants:
        return found + ["has no variants; write {on: true, off: false}"]
    if len({type(value) for value in variants.values()}) > 1:
        found.append(f"variants have values of different types: {_short(variants)}")
    default = flag.get("defaultVariant")
    if not isinstance(default, str) or default not in variants:
        found.append(f"defaultVariant is {_short(default)}; write one of {', '.join(sorted(map(str, variants)))}")
    rule = flag.get("targeting")
    if rule not in (None, {}):
        found += _lint_rule(rule, variants, 0)
    return found


def _lint_rule(rule: t.Any, variants: t.Mapping[str, t.Any], depth: int) -> t.List[str]:
    """Mistakes in a part of a rule whose value becomes a variant."""
    if depth > DEEPEST:
        return [f"targeting is nested deeper than {DEEPEST} levels"]
    if rule is None:
        return []
    if isinstance(rule, str):
        return (
            []
            if rule in variants
            else [
                (
                    f"targeting names the variant {_short(rule)}, which is not among"
                    f" {', '.join(sorted(map(str, variants)))}"
                )
            ]
        )
    if isinstance(rule, bool):
        name = "true" if rule else "false"
        return [] if name in variants else [f"targeting gives {name}, which is no variant"]
    if not isinstance(rule, dict) or len(rule) != 1:
        return [f"targeting holds {_short(rule)}; write a rule with one operator or the name of a variant"]
    ((operator, arguments),) = rule.items()
    if operator == "fractional":
        return _lint_fractional(arguments, variants)
    if operator == "if":
        if not isinstance(arguments, list) or len(arguments) < 2:
            return [f"targeting: if needs a condition and a variant, got {_short(arguments)}"]
        results = arguments[1::2] + ([arguments[-1]] if len(arguments) % 2 else [])
        return [mistake for result in results for mistake in _lint_rule(result, variants, depth + 1)]
    return []


def _lint_fractional(arguments: t.Any, variants: t.Mapping[str, t.Any]) -> t.List[str]:
    if not isinstance(arguments, list) or not arguments:
        return [f"fractional holds {_short(arguments)}; write [[on, 25], [off, 75]]"]
    # The first argument may be an expression for the bucketing value; the key of the user is the default.
    buckets = arguments[1:] if isinstance(arguments[0], (dict, str)) else arguments
    found, total, order = [], 0.0, []
    for bucket in buckets:
        if not isinstance(bucket, list) or not 1 <= len(bucket) <= 2 or not isinstance(bucket[0], str):
            return [f"fractional holds {_short(bucket)}; write a pair like [on, 25]"]
        weight = bucket[1] if len(bucket) == 2 else 1
        if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0:
            return [f"fractional gives {bucket[0]} the weight {_short(weight)}; write a whole number from 0 to 100"]
        if bucket[0] not in variants:
            found.append(f"fractional names {_short(bucket[0])}, which is no variant: those users get an error")
        total += weight
        order.append(bucket[0])
    if total != 100:
        found.append(f"the weights in fractional sum to {total:g}; make it 100, or a share is not what it says")
    return found + _lint_order(order)


def _lint_order(order: t.Sequence[str]) -> t.List[str]:
    """Mistakes in the order of Gradual's own variants; those of other people's flags may stand as they like."""
    if set(order) == set(ARMS) and tuple(order) != ARMS:
        return [
            (
                "fractional names off before on; keep on first, or growing the share takes the feature from those who"
                " have it"
            )
        ]
    labels = [match for match in map(AA.match, order) if match]
    if not labels or {"off", *(match.string for match in labels)} != set(order):
        return []
    percents = [int(match["percent"]) for match in labels]
    if order[-1] != "off" or percents != sorted(set(percents)):
        return [
            (
                "fractional does not name the stages in rising order, then off; in another order the labels stand at"
                " other"
                " users than the stages"
            )
        ]
    return []


def _short(value: t.Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
