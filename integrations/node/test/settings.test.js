// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** What the one call may say: each error names the setting, the value and what to write. */

const assert = require("node:assert/strict");
const childProcess = require("node:child_process");
const path = require("node:path");
const { test } = require("node:test");
const { Registry } = require("prom-client");
const { SettingsError, gradual } = require("..");
const { Routes, parseRoute } = require("../src/routes");
const { flag, folder, rolled, write } = require("./support");

for (const [options, told] of [
  [{ feature: {} }, /an option is "feature"; write one of features, ready/],
  [{ features: { search: "/api/search" } }, /features\.search is "\/api\/search"; write a list of routes/],
  [{ features: { search: ["api/search"] } }, /features\.search\[0\] is "api\/search"; write a route like/],
  [{ routes: [7] }, /routes\[0\] is 7; write a route/],
  [{ user: "id" }, /user is "id"; write a function that returns the targeting key/],
  [{ cookie: "a b" }, /cookie is "a b"; write the name of a cookie/],
  [{ ready: true }, /ready is true; write a function/],
  [{ buckets: [1, 0.5] }, /buckets is \[1,0\.5\]; write bounds in seconds, rising/],
]) {
  test(`refused: ${JSON.stringify(options)}`, () => {
    const whole = { registry: new Registry(), ...options };
    assert.throws(() => gradual(whole), (error) => error instanceof SettingsError && told.test(error.message));
  });
}

test("a release file that is no JSON is refused", (t) => {
  const root = folder(t);
  write(path.join(root, ".release.json"), "{");
  assert.throws(() => gradual({ root, registry: new Registry() }), /\.release\.json cannot be read/);
});

test("a worker of node:cluster is refused", (t) => {
  const file = path.join(folder(t), "cluster.js");
  const program = `
    const cluster = require("node:cluster");
    if (cluster.isPrimary) cluster.fork().on("exit", (code) => process.exit(code));
    else require(${JSON.stringify(path.dirname(__dirname))}).gradual();`;
  write(file, program);
  const told = childProcess.spawnSync(process.execPath, [file], { encoding: "utf8" });
  assert.match(told.stderr, /runs in a worker of node:cluster; run one process a host/);
  assert.equal(told.status, 1);
});

test("a feature that was not told is off, and logged once; a wrong counter or opinion is an error", (t) => {
  const { rollout, said } = rolled(t, { flags: { search: flag(100, 1) } });
  const request = { headers: {}, socket: {}, url: "/", method: "GET" };
  rollout.express(request, { once() {}, headersSent: true }, () => {});
  for (const _time of [1, 2]) assert.equal(request.gradual.isOn("serach"), false);
  assert.deepEqual(said, ["feature serach is none of search: it is off"]);
  assert.throws(() => request.gradual.count("orders"), /orders is not in counters of gradual\(\)/);
  assert.throws(() => request.gradual.feedback("search", "great"), /feedback on search is great; expected good or bad/);
});

for (const [route, method, asked, fits] of [
  ["/", "GET", "/", true],
  ["/api/search", "GET", "/api/search", true],
  ["/api/search", "POST", "/api/search/", true],
  ["/api/search", "GET", "/api/searches", false],
  ["/api/search", "GET", "/api/search/more", false],
  ["/api/a.b", "GET", "/api/aXb", false],
  ["/products/:sku", "GET", "/products/tea-01", true],
  ["/products/:sku", "GET", "/products/", false],
  ["/products/:sku/price", "GET", "/products/tea/01/price", false],
  ["/static/*", "GET", "/static/a/b.css", true],
  ["POST /orders", "POST", "/orders", true],
  ["POST /orders", "GET", "/orders", false],
  ["GET /orders", "HEAD", "/orders", true],
]) {
  test(`the route ${route} ${fits ? "has" : "does not have"} ${method} ${asked}`, () => {
    const routes = new Routes();
    routes.add(parseRoute(route), true);
    assert.equal(routes.all(method, asked).length > 0, fits);
  });
}
