# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Mistakes in flag files of flagd's format that the JSON Schema does not see, and that change what users get."""

from __future__ import annotations

import re
import typing as t

# The order is part of the contract: swapping it takes the feature from every user who has it.
ARMS = ("on", "off")
# A variant of the A/A stage: off, and named after the stage that shows the feature to its users.
AA = re.compile(r"aa(?P<percent>[1-9][0-9]?)\Z")
DEEPEST = 40


def lint(document: t.Any) -> t.List[str]:
    """Mistakes that change what users get, one sentence each; [] when there is none. Never raises, whatever the file holds."""
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
        found.append("state DISABLED gives the default in the code; to switch a feature off write ENABLED, defaultVariant off, no targeting")
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
        return [] if rule in variants else [f"targeting names the variant {_short(rule)}, which is not among {', '.join(sorted(map(str, variants)))}"]
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
            return [f"targeting: if needs a condition and a variant, seen {_short(arguments)}"]
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
        return ["fractional names off before on; keep on first, or growing the share takes the feature from those who have it"]
    labels = [match for match in map(AA.match, order) if match]
    if not labels or {"off", *(match.string for match in labels)} != set(order):
        return []
    percents = [int(match["percent"]) for match in labels]
    if order[-1] != "off" or percents != sorted(set(percents)):
        return ["fractional does not name the stages in rising order, then off; in another order the labels stand at other users than the stages"]
    return []


def _short(value: t.Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
