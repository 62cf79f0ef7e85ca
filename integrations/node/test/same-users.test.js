// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** Node and Python assign the same users, from files that the collection itself writes. */

const assert = require("node:assert/strict");
const crypto = require("node:crypto");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const buckets = require("../src/buckets");
const { contextOf, coreOf } = require("../src/flags");
const { folder, python } = require("./support");

const USERS = 100000;
const PLAIN = { file: (file) => file, context: (_flag, targetingKey) => ({ targetingKey }) };
const AGREEING = { file: (file) => buckets.agreeing(file).file, context: contextOf };

/** {"variant value": {users, digest}} as deal.py tells it. */
function deal(file, keys, how) {
  const core = coreOf(how.file(file));
  const having = new Map();
  for (const key of keys) {
    const { variant, value } = core.resolveBooleanEvaluation("search", false, how.context("search", key));
    const name = `${variant} ${value}`;
    if (!having.has(name)) having.set(name, []);
    having.get(name).push(key);
  }
  return Object.fromEntries(
    [...having].map(([name, users]) => [
      name,
      { users: users.length, digest: crypto.createHash("sha256").update(users.join("\n")).digest("hex") },
    ]),
  );
}

test("100,000 users have the same variants in Node and in Python", async (t) => {
  const made = folder(t);
  const told = JSON.parse(await python("deal.py", made, JSON.stringify(buckets.SAMPLE), String(USERS)));
  const keys = [...told.names, ...Array.from({ length: USERS }, (_, number) => `user-${number}`)];
  const read = (name) => JSON.parse(fs.readFileSync(path.join(made, `${name}.json`), "utf8"));
  const names = Object.keys(told.files);
  assert.deepEqual(names, ["labels", "stage-of-25", "expired-stage-of-50", "certified-50", "whole"]);
  for (const name of names) {
    await t.test(name, () => assert.deepEqual(deal(read(name), keys, AGREEING), told.files[name]));
  }
  await t.test("the sample that each process checks itself with", () => assert.equal(buckets.EXPECTED, told.sample));
  await t.test("flagd-core alone would give the feature to others", () => {
    assert.notDeepEqual(deal(read("stage-of-25"), keys, PLAIN), told.files["stage-of-25"]);
  });
});

test("an evaluation that assigns other users is refused", () => {
  const core = coreOf({ flags: { [buckets.SAMPLE_FLAG]: buckets.SAMPLE } });
  const alone = (flag, targetingKey) => core.resolveBooleanEvaluation(flag, false, { targetingKey }).value;
  assert.throws(() => buckets.insistOnSameUsers(alone), /assigns other users .* got \w{25}, expected \w{25}; install/);
});
