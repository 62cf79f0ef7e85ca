// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** The flag file, as a process follows it. */

const assert = require("node:assert/strict");
const fs = require("node:fs");
const http = require("node:http");
const { test } = require("node:test");
const { OpenFeature } = require("@openfeature/server-sdk");
const { flag, python, rolled, served, sleep, until, write } = require("./support");

const revision = (pid) => `feature_flag_revision{flag="search",pid="${pid}"}`;
const share = (pid) => `feature_flag_share{flag="search",pid="${pid}"}`;
const readable = (pid) => `feature_flag_file_readable{pid="${pid}"}`;
const has = async (rollout, user) =>
  (await rollout.provider.resolveBooleanEvaluation("search", false, { targetingKey: user })).value;

test("the collection sees each state of a rollout evaluated", async (t) => {
  const { rollout, file } = rolled(t, undefined);
  const { port } = await served(t, http.createServer(rollout.http(() => {})));
  const lines = (await python("wait.py", file, `http://127.0.0.1:${port}/metrics`)).trim().split("\n");
  const told = lines.map((line) => line.split(" "));
  assert.deepEqual(told.map((words) => words.slice(0, -2).join(" ")), [
    "0 None",
    "0 25",
    "25 None",
    "25 50",
    "expired",
    "100 None",
    "0 None",
  ]);
  assert.deepEqual(told.map((words) => words.at(-2)), ["1", "2", "3", "4", "4", "5", "6"]);
  const [none, quarter, certified, half, fallen, whole, off] = told.map((words) => Number(words.at(-1)));
  assert.deepEqual([none, whole, off], [0, 1, 0]);
  assert.ok(quarter > 0.1 && half > quarter && half < 0.7, `${quarter} ${half}`);
  assert.deepEqual([certified, fallen], [quarter, quarter]);
});

test("series of new variants exist before the revision of their file is told", async (t) => {
  const { file, figures, rollout, pid } = rolled(t, { flags: { search: flag(0, 1) } });
  const series = 'feature_requests_total{feature="search",variant="aa25",outcome="error"}';
  const before = await figures();
  assert.equal(before[revision(pid)], 1);
  assert.equal(before[series], undefined);
  const seen = [];
  const tell = rollout.registry.getSingleMetric("feature_flag_revision");
  const set = tell.set.bind(tell);
  tell.set = (labels, value) => {
    seen.push([value, rollout.registry.getSingleMetric("feature_requests_total").hashMap]);
    seen.at(-1)[1] = Object.keys(seen.at(-1)[1]).some((key) => key.includes("aa25"));
    set(labels, value);
  };
  write(file, { flags: { search: flag(0, 2, { variants: { on: true, off: false, aa25: false } }) } });
  await until(async () => (await figures())[revision(pid)] === 2);
  assert.deepEqual(seen, [[2, true]]);
  assert.equal((await figures())[series], 0);
});

test("further variants than two dozen are counted as on or off", async (t) => {
  const variants = Object.fromEntries(Array.from({ length: 100 }, (_, number) => [`v${number}`, number % 2 === 0]));
  const targeting = { fractional: Object.keys(variants).map((name) => [name, 1]) };
  const many = flag(0, 1, { variants: { off: false, ...variants }, targeting });
  const { rollout, figures } = rolled(t, { flags: { search: many } });
  const { ask } = await served(t, http.createServer(rollout.http((_request, response) => response.end())));
  for (let user = 0; user < 200; user++) await ask("/api/search", { headers: { Cookie: `visitor=user-${user}` } });
  const counted = Object.entries(await figures()).filter(
    ([series]) => series.startsWith("feature_requests_total") && series.includes('outcome="ok"'),
  );
  assert.equal(counted.length, 24);
  assert.equal(counted.reduce((sum, [, value]) => sum + value, 0), 200);
});

for (const [name, text, told] of [
  ["no JSON", "{", /JSON/],
  ["no flags", "{}", /no object "flags"/],
  ["an invalid state", { flags: { search: flag(100, 2, { state: "ON" }) } }, /Invalid flag state/],
  ["a default that is no variant", { flags: { other: flag(0, 2, { defaultVariant: "nobody" }) } }, /nobody missing/],
  ["variants that are no object", { flags: { search: flag(100, 2, { variants: null }) } }, /./],
]) {
  test(`a flag file with ${name}: off at the start, later the last good flags stay, and it is told`, async (t) => {
    const { rollout, file, figures, said, pid } = rolled(t, text);
    assert.equal(await has(rollout, "user-1"), false);
    const at = await figures();
    assert.deepEqual([at[readable(pid)], at[revision(pid)], at[share(pid)]], [0, 0, 0]);
    assert.match(said[0], told);
    write(file, { flags: { search: flag(100, 3) } });
    await until(async () => (await figures())[revision(pid)] === 3);
    assert.equal((await figures())[readable(pid)], 1);
    assert.equal(await has(rollout, "user-1"), true);
    write(file, text);
    await until(async () => (await figures())[readable(pid)] === 0);
    await sleep(1200);
    assert.equal(await has(rollout, "user-1"), true);
    assert.equal((await figures())[revision(pid)], 3);
    assert.equal(said.length, 2, said.join("\n"));
  });
}

test("a file that is not there yet is told, and read when it appears", async (t) => {
  const { rollout, file, figures, said, pid } = rolled(t, undefined);
  assert.match(said[0], /ENOENT/);
  assert.equal((await figures())[readable(pid)], 0);
  write(file, { flags: { search: flag(100, 1) } });
  await until(async () => (await figures())[revision(pid)] === 1);
  assert.equal(await has(rollout, "user-1"), true);
  // The same time and size, as a restored copy has them: another file all the same.
  const { mtime } = fs.statSync(file);
  write(`${file}.old`, { flags: { search: flag(100, 2) } });
  fs.utimesSync(`${file}.old`, mtime, mtime);
  fs.renameSync(`${file}.old`, file);
  await until(async () => (await figures())[revision(pid)] === 2);
});

const shared = (rule) => ({ flags: { search: flag(0, 1, { targeting: { $ref: "rule" } }) }, $evaluators: { rule } });

for (const [name, file] of [
  ["in its rule", { flags: { search: flag(0, 1, { targeting: own() }) } }],
  ["in a shared evaluator", shared(own())],
]) {
  test(`a feature with a value of its own to hash ${name} is off, and told`, async (t) => {
    const { rollout, figures, said, pid } = rolled(t, file);
    assert.equal(await has(rollout, "user-1"), false);
    const told = await figures();
    assert.deepEqual([told[readable(pid)], told[share(pid)]], [0, 0]);
    assert.match(said[0], /search is off: its rule names its own value to hash/);
  });
}

function own() {
  return { fractional: [{ var: "targetingKey" }, ["on", 100]] };
}

test("a shared evaluator that hashes the targeting key is evaluated", async (t) => {
  const { rollout, said } = rolled(t, shared({ fractional: [["on", 1]] }));
  assert.equal(await has(rollout, "user-1"), true);
  assert.deepEqual(said, []);
});

test("a disabled flag and a flag that is not in the file are off", async (t) => {
  const { rollout, file, figures, pid } = rolled(t, { flags: { search: flag(100, 1, { state: "DISABLED" }) } });
  assert.equal(await has(rollout, "user-1"), false);
  write(file, { flags: {}, metadata: { revision: 9 } });
  await until(async () => (await figures())[revision(pid)] === 0);
  assert.equal(await has(rollout, "user-1"), false);
});

test("code that asks through an OpenFeature client has the same evaluation", async (t) => {
  const flags = { search: flag(100, 4), colour: flag(0, 4, { variants: { red: "red" }, defaultVariant: "red" }) };
  const { rollout, figures } = rolled(t, { flags });
  await OpenFeature.setProviderAndWait(rollout.provider);
  t.after(() => OpenFeature.close());
  const client = OpenFeature.getClient();
  const details = await client.getBooleanDetails("search", false, { targetingKey: "user-1" });
  assert.deepEqual([details.value, details.variant, details.flagMetadata.revision], [true, "on", 4]);
  assert.equal(await client.getStringValue("colour", "blue", { targetingKey: "user-1" }), "red");
  assert.equal((await figures())['feature_evaluations_total{flag="search"}'], 1);
});
