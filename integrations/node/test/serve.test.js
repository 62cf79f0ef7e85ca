// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** The process as a service: up, told, and stopped without a lost request. */

const assert = require("node:assert/strict");
const childProcess = require("node:child_process");
const fs = require("node:fs");
const http = require("node:http");
const path = require("node:path");
const { test } = require("node:test");
const { ask, folder, freePort, python, until } = require("./support");

const SERVICE = path.join(__dirname, "service.js");
const NOTIFY = path.join(__dirname, "../bin/gradual-notify");

async function started(t, framework, environment = {}) {
  const port = await freePort();
  const env = { ...process.env, PORT: String(port), ...environment };
  const child = childProcess.spawn(process.execPath, [SERVICE, framework], { env });
  t.after(() => child.kill("SIGKILL"));
  const said = { out: "", err: "" };
  child.stdout.on("data", (part) => (said.out += part));
  child.stderr.on("data", (part) => (said.err += part));
  const ended = new Promise((resolve) => child.on("exit", (code, signal) => resolve({ code, signal })));
  await until(() => ask(port, "/healthz").then(() => true, () => false));
  return { port, child, said, ended };
}

for (const framework of ["http", "express", "fastify"]) {
  test(`${framework}: SIGTERM lets the request in progress finish and closes idle connections`, async (t) => {
    const finish = path.join(folder(t), "finish");
    const { port, child, said, ended } = await started(t, framework, { FINISH: finish });
    const agent = new http.Agent({ keepAlive: true });
    t.after(() => agent.destroy());
    await ask(port, "/healthz", { agent }); // an idle connection stays open
    const slow = ask(port, "/slow");
    await until(() => said.out === "begun\n");
    child.kill("SIGTERM");
    await until(() => ask(port, "/healthz").then(() => false, (error) => error.code === "ECONNREFUSED"));
    fs.writeFileSync(finish, "");
    const answer = await slow;
    assert.deepEqual([answer.status, answer.body], [200, "done"]);
    assert.deepEqual(await ended, { code: 0, signal: null });
    assert.equal(said.out, "begun\nstopped\n");
  });
}

test("systemd hears from the main process that it is up, and that it stops", async () => {
  process.env.PORT = String(await freePort());
  const said = await python("notified.py", NOTIFY, process.execPath, SERVICE, "http");
  // Two processes write these lines, so their order is by chance.
  assert.deepEqual(said.trim().split("\n").sort(), ["exit 0", "main READY=1", "main STOPPING=1", "stopped"]);
});

test("without gradual-notify a service of Type=notify says what to write", async (t) => {
  const { said } = await started(t, "http", { NOTIFY_SOCKET: "/nowhere" });
  assert.match(said.err, /systemd waits for READY=1 .* exec node_modules\/\.bin\/gradual-notify node <file>/);
});

test("gradual-notify needs a program that exists", () => {
  const none = childProcess.spawnSync(NOTIFY, [], { encoding: "utf8" });
  assert.match(none.stderr, /no program given; write: exec gradual-notify node server\.js/);
  const missing = childProcess.spawnSync(NOTIFY, ["/nowhere/node"], { encoding: "utf8" });
  assert.match(missing.stderr, /\/nowhere\/node cannot be started: No such file/);
  assert.equal(missing.status, 1);
});
