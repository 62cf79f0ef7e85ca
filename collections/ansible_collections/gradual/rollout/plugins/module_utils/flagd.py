# Copyright: The Gradual project
# BSD-2-Clause (see LICENSES/BSD-2-Clause.txt or https://opensource.org/license/bsd-2-clause)
"""Flag files in flagd's format: build definitions, find mistakes that the JSON Schema does not see, plan a change.

Everything here is a pure function over parsed JSON. A share is a whole percentage of the users, 0 to 100.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing as t

# The order is part of the contract: swapping it takes the feature from every user who has it.
ARMS = ("on", "off")
DEEPEST = 40


class FlagFileError(Exception):
    """A flag file, or what is wanted of it, cannot be used; the message says what to write instead."""


@dataclasses.dataclass(frozen=True)
class Wanted:
    """One flag as it shall be: `certified` % for good, `baking` % until `expiry` (seconds since the epoch)."""

    flag: str
    certified: int
    baking: t.Optional[int] = None
    expiry: t.Optional[int] = None

    def percent_at(self, now: float) -> int:
        """The share that holds at a time in seconds since the epoch."""
        if self.baking is not None and self.expiry is not None and int(now) < self.expiry:
            return self.baking
        return self.certified


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a change would do: the new document, which flags differ, what to tell the operator."""

    document: t.Dict[str, t.Any]
    revision: int
    differing: t.List[str]
    warnings: t.List[str]

    @property
    def changed(self) -> bool:
        return bool(self.differing)


def wanted_from(entry: t.Mapping[str, t.Any]) -> Wanted:
    """Check one entry of the module's `flags` and return it; raises FlagFileError with the key, the value and the remedy."""
    flag = str(entry.get("flag") or "")
    if not flag:
        raise FlagFileError("flags: an entry has no flag; write flag: <key of the feature>")
    certified = _percentage(entry.get("certified"), flag, "certified")
    if entry.get("baking") is None:
        return Wanted(flag, certified)
    baking = _percentage(entry.get("baking"), flag, "baking")
    if baking == certified:
        return Wanted(flag, certified)
    expiry = entry.get("expiry")
    if isinstance(expiry, bool) or not isinstance(expiry, (int, float)) or not math.isfinite(expiry) or expiry <= 0:
        raise FlagFileError(
            f"flag {flag}: baking {baking} % needs an expiry in seconds since the epoch, seen {expiry!r}; a share that is not certified may not last for ever"
        )
    return Wanted(flag, certified, baking, int(expiry))


def _percentage(value: t.Any, flag: str, key: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 100:
        raise FlagFileError(f"flag {flag}: {key} is {value!r}; write a whole number from 0 to 100")
    return int(value)


def fractional(percent: int) -> t.Union[str, t.Dict[str, t.Any]]:
    """The rule that gives `on` to this share of the users; nobody at 0."""
    if percent == 0:
        return "off"
    return {"fractional": [["on", percent], ["off", 100 - percent]]}


def targeting(wanted: Wanted) -> t.Optional[t.Dict[str, t.Any]]:
    """The flag's targeting rule, None when nobody shall have the feature.

    While it bakes the rule carries its own end, so every host falls back by itself to what was certified.
    """
    if wanted.baking is not None:
        running = {"<": [{"var": "$flagd.timestamp"}, wanted.expiry]}
        return {"if": [running, fractional(wanted.baking), fractional(wanted.certified)]}
    rule = fractional(wanted.certified)
    return rule if isinstance(rule, dict) else None


def definition(wanted: Wanted, revision: int) -> t.Dict[str, t.Any]:
    """The whole definition of one flag."""
    built: t.Dict[str, t.Any] = {
        "state": "ENABLED",
        "variants": {"on": True, "off": False},
        "defaultVariant": "off",
        "metadata": {"revision": revision},
    }
    rule = targeting(wanted)
    if rule is not None:
        built["targeting"] = rule
    return built


def parse(text: str) -> t.Dict[str, t.Any]:
    """The document in a flag file; raises FlagFileError when it is not a JSON object with `flags`."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FlagFileError(f"the flag file is not JSON: {error}") from error
    if not isinstance(document, dict) or not isinstance(document.get("flags"), dict):
        raise FlagFileError('the flag file has no object "flags" at its top')
    return document


def render(document: t.Mapping[str, t.Any]) -> str:
    """The text that is written: stable, so that equal documents are equal files."""
    return json.dumps(document, indent=2, sort_keys=True) + "\n"


def revision_of(document: t.Optional[t.Mapping[str, t.Any]], flag: t.Optional[str] = None) -> int:
    """The revision of a flag, or the highest of the file; 0 where none is written."""
    if document is None:
        return 0
    flags = document.get("flags")
    flags = flags if isinstance(flags, dict) else {}
    if flag is not None:
        return _revision(flags.get(flag))
    return max([_revision(document)] + [_revision(each) for each in flags.values()])


def _revision(holder: t.Any) -> int:
    metadata = holder.get("metadata") if isinstance(holder, dict) else None
    revision = metadata.get("revision") if isinstance(metadata, dict) else None
    usable = isinstance(revision, (int, float)) and not isinstance(revision, bool) and math.isfinite(revision)
    return int(revision) if usable and revision is not None else 0


def plan(
    current: t.Optional[t.Mapping[str, t.Any]],
    wanted: t.Sequence[Wanted],
    revision: int,
    application: t.Optional[str] = None,
    absent: bool = False,
) -> Plan:
    """What a file must become so that the wanted flags hold; other flags stay as they are.

    `current` is the parsed file, None when there is none. With `absent` the flags are taken out. The revision always
    grows, so that a process which still evaluates the old file cannot be mistaken for one that has read the new one.
    Mistakes in flags of others stop a change that shows a feature to anybody, and are only told when all is switched off.
    """
    names = [each.flag for each in wanted]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise FlagFileError(f"flags: {', '.join(doubled)} is named more than once; name each flag once")
    before = dict(current) if current is not None else {"flags": {}}
    flags = dict(before.get("flags") or {})
    differing = []
    for each in wanted:
        held = flags.get(each.flag)
        if held is not None if absent else not same(held, definition(each, 0)):
            differing.append(each.flag)
    new_revision = max(revision, revision_of(current) + 1) if differing else revision_of(current)
    if differing:
        for each in wanted:
            if absent:
                flags.pop(each.flag, None)
            else:
                flags[each.flag] = definition(each, new_revision)
    metadata = dict(before["metadata"]) if isinstance(before.get("metadata"), dict) else {}
    if differing or current is None:
        metadata["revision"] = new_revision
        if application:
            metadata["application"] = application
    document = {**before, "flags": flags, "metadata": metadata}
    mistakes = lint(document)
    if mistakes and not all(each.certified == 0 and not each.baking for each in wanted):
        raise FlagFileError("the flag file would be wrong: " + "; ".join(mistakes))
    return Plan(document, new_revision, differing, mistakes)


def same(held: t.Any, built: t.Mapping[str, t.Any]) -> bool:
    """Whether two definitions answer alike: all but the metadata."""
    if not isinstance(held, dict):
        return False
    return {k: v for k, v in held.items() if k != "metadata"} == {k: v for k, v in built.items() if k != "metadata"}


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
    if set(order) == set(ARMS) and tuple(order) != ARMS:
        found.append("fractional names off before on; keep on first, or growing the share takes the feature from those who have it")
    return found


def _short(value: t.Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
