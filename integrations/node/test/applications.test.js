// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** The contract, asked of a real server of each framework. */

const assert = require("node:assert/strict");
const http = require("node:http");
const path = require("node:path");
const { describe, test } = require("node:test");
const { APPLICATIONS, flag, folder, rolled, samples, served, sleep, until, write } = require("./support");

const COUNTERS = { feature_orders: "Orders." };
const FLAGS = { flags: { search: flag(50, 3) } };
// As the Python provider assigns them at 50 % (same-users.test.js holds the two against each other).
const HAS = "user-2";
const HAS_NOT = "user-1";

for (const [name, application] of Object.entries(APPLICATIONS)) {
  describe(name, () => {
    const prepare = async (t, options) => {
      const made = rolled(t, FLAGS, { counters: COUNTERS, ...options });
      return { ...made, ...(await served(t, await application(made.rollout))) };
    };
    const figuresOf = async (ask) => samples((await ask("/metrics")).body);
    const as = (user) => ({ headers: { Cookie: `theme=dark; visitor=${user}` } });

    test("answers the addresses of the contract", async (t) => {
      const root = folder(t);
      write(path.join(root, ".release.json"), { application: "shop", release: "2.0.0", digest: "ab", more: 1 });
      let ready = () => undefined;
      const { ask } = await prepare(t, { root, ready: () => ready() });
      assert.equal((await ask("/healthz")).status, 200);
      assert.equal((await ask("/healthz", { method: "HEAD" })).status, 200);
      const version = JSON.parse((await ask("/version")).body);
      assert.deepEqual(version, { application: "shop", release: "2.0.0", digest: "ab" });
      assert.match((await ask("/metrics")).headers["content-type"], /^text\/plain; version=0\.0\.4/);
      assert.equal((await ask("/readyz")).status, 200);
      ready = async () => {
        throw new Error("the database does not answer");
      };
      const refused = await ask("/readyz");
      assert.equal(refused.status, 503);
      assert.deepEqual(JSON.parse(refused.body), { ready: false, reason: "the database does not answer" });
      assert.equal((await ask("/nowhere")).status, 404);
    });

    test("a user has the same feature everywhere, and is counted by its variant", async (t) => {
      const { ask } = await prepare(t);
      for (const [user, has] of [[HAS, true], [HAS_NOT, false]]) {
        assert.deepEqual(JSON.parse((await ask("/api/features", as(user))).body), { features: { search: has } });
        const found = JSON.parse((await ask("/api/search?q=tea", as(user))).body);
        assert.deepEqual(found, { found_by: has ? "words" : "name" });
      }
      await ask("/api/products/tea-01", as(HAS));
      assert.equal((await ask("/api/orders", { method: "POST", ...as(HAS) })).status, 201);
      const figures = await figuresOf(ask);
      const wanted = {
        'feature_requests_total{feature="search",variant="on",outcome="ok"}': 1,
        'feature_requests_total{feature="search",variant="on",outcome="error"}': 1,
        'feature_requests_total{feature="search",variant="off",outcome="ok"}': 1,
        'feature_requests_total{feature="search",variant="off",outcome="error"}': 0,
        'feature_request_duration_seconds_count{feature="search",variant="on"}': 2,
        'feature_request_duration_seconds_bucket{le="0.5",feature="search",variant="on"}': 2,
        'feature_orders_total{feature="search",variant="on"}': 1,
        'feature_orders_total{feature="search",variant="off"}': 0,
        'feature_feedback_total{feature="search",variant="on",opinion="good"}': 1,
        'feature_evaluations_total{flag="search"}': 6,
        'http_requests_total{method="GET",route="/api/search",status="200"}': 2,
        'http_requests_total{method="GET",route="/api/search",status="500"}': 0,
        'http_requests_total{method="GET",route="/api/products/:sku",status="500"}': 1,
        'http_request_duration_seconds_count{route="/api/search"}': 2,
        'http_requests_total{method="GET",route="/api/features",status="200"}': 2,
      };
      for (const [series, value] of Object.entries(wanted)) assert.equal(figures[series], value, series);
    });

    test("a new user gets a cookie beside those of the application, and keeps the feature", async (t) => {
      const { ask } = await prepare(t);
      const first = await ask("/api/orders", { method: "POST" });
      const cookies = first.headers["set-cookie"];
      assert.equal(cookies.length, 2, `${cookies}`);
      const own = cookies.find((cookie) => cookie.startsWith("visitor="));
      assert.match(own, /^visitor=[0-9a-f]{24}; Path=\/; Max-Age=31536000; HttpOnly; SameSite=Lax$/);
      assert.ok(cookies.some((cookie) => cookie.startsWith("session=own")));
      const told = await ask("/api/features", { headers: { Cookie: own.split(";")[0] } });
      assert.equal(told.headers["set-cookie"], undefined);
      const again = await ask("/api/features", { headers: { Cookie: "visitor=<script>" } });
      assert.match(again.headers["set-cookie"][0], /^visitor=[0-9a-f]{24};/);
    });

    test("Gradual's own requests count for no feature", async (t) => {
      const { ask } = await prepare(t);
      const headers = { "X-Gradual-Probe": "share", Cookie: `visitor=${HAS}` };
      await ask("/api/orders", { method: "POST", headers });
      for (const address of ["/api/search", "/api/products/tea-01", "/elsewhere"]) await ask(address, { headers });
      const figures = await figuresOf(ask);
      for (const status of [200, 404, 500]) {
        assert.equal(figures[`http_requests_total{method="GET",route="gradual-probe",status="${status}"}`], 1);
      }
      assert.equal(figures['http_request_duration_seconds_count{route="gradual-probe"}'], 4);
      assert.equal(figures['feature_orders_total{feature="search",variant="on"}'], 0);
      assert.equal(figures['feature_requests_total{feature="search",variant="on",outcome="ok"}'], 0);
      assert.equal(figures['feature_evaluations_total{flag="search"}'], 1);
    });

    test("whatever is asked, the number of series stays", async (t) => {
      const { ask } = await prepare(t);
      const before = Object.keys(await figuresOf(ask));
      for (let number = 0; number < 50; number++) {
        await ask(`/page-${number}`);
        await ask(`/api/products/${number}`, as(`user-${number}`));
      }
      const after = await figuresOf(ask);
      assert.deepEqual(Object.keys(after), before);
      assert.equal(after['http_requests_total{method="GET",route="unmatched",status="404"}'], 50);
      assert.equal(after['http_request_duration_seconds_count{route="/api/products/:sku"}'], 50);
    });
  });
}

test("a user who closes the connection before the answer is counted with the time until then", async (t) => {
  const { rollout, figures } = rolled(t, FLAGS);
  const { port } = await served(t, http.createServer(rollout.http((request) => void request.gradual.isOn("search"))));
  const request = http.get({ port, host: "127.0.0.1", path: "/api/search", headers: { Cookie: `visitor=${HAS}` } });
  request.on("error", () => {});
  await sleep(150);
  request.destroy();
  const series = 'http_requests_total{method="GET",route="/api/search",status="499"}';
  const told = await until(async () => ((await figures())[series] === 1 ? figures() : undefined));
  assert.equal(told['feature_request_duration_seconds_count{feature="search",variant="on"}'], 1);
  assert.equal(told['feature_request_duration_seconds_bucket{le="0.1",feature="search",variant="on"}'], 0);
});

test("a check of readiness that hangs is a refusal", async (t) => {
  const { rollout } = rolled(t, FLAGS, { ready: () => new Promise(() => {}) });
  const { ask } = await served(t, http.createServer(rollout.http(() => {})));
  const told = await ask("/readyz");
  assert.equal(told.status, 503);
  assert.match(told.body, /did not end within 3 s/);
});

test("the targeting key may come from a function; where it gives none, or fails, it is the cookie", async (t) => {
  const user = (request) => {
    if (request.headers["x-fail"]) throw new Error("no session");
    return request.headers["x-account"];
  };
  const { rollout, said } = rolled(t, FLAGS, { user, cookie: "uid" });
  const application = rollout.http((request, response) => response.end(request.gradual.user));
  const { ask } = await served(t, http.createServer(application));
  const Cookie = "uid=me";
  assert.equal((await ask("/", { headers: { Cookie, "X-Account": "account-7" } })).body, "account-7");
  assert.equal((await ask("/", { headers: { Cookie } })).body, "me");
  for (const _time of [1, 2]) assert.equal((await ask("/", { headers: { Cookie, "X-Fail": "1" } })).body, "me");
  assert.deepEqual(said, ["user failed, so the cookie uid is the targeting key: Error: no session"]);
  const made = await ask("/");
  assert.match(made.headers["set-cookie"][0], new RegExp(`^uid=${made.body};`));
});

test("who is refused before the flag is looked at belongs to neither arm", async (t) => {
  const { rollout, figures } = rolled(t, FLAGS);
  const handler = (request, response) => {
    if (request.headers["x-look"]) request.gradual.isOn("search");
    response.writeHead(401).end();
  };
  const { ask } = await served(t, http.createServer(rollout.http(handler)));
  const series = 'feature_requests_total{feature="search",variant="on",outcome="ok"}';
  await ask("/api/search", { headers: { Cookie: `visitor=${HAS}` } });
  assert.equal((await figures())[series], 0);
  await ask("/api/search", { headers: { Cookie: `visitor=${HAS}`, "X-Look": "1" } });
  assert.equal((await figures())[series], 1);
});

test("an application without features needs no flag file", async (t) => {
  const { rollout } = rolled(t, undefined, { features: {} });
  const { ask } = await served(t, http.createServer(rollout.http((_request, response) => response.end())));
  assert.equal((await ask("/api/features")).body, '{"features":{}}');
  assert.equal((await ask("/anything")).status, 200);
});
