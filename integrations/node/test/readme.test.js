// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** The example of the README, as it stands there, with its `run`. */

const assert = require("node:assert/strict");
const childProcess = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const { ask, flag, folder, freePort, until, write } = require("./support");

const PACKAGE = path.dirname(__dirname);

/** The blocks of code of a language. */
function blocks(text, language) {
  return [...text.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, "gs"))].map((found) => found[1]);
}

test("the example of the README keeps the contract", async (t) => {
  const readme = fs.readFileSync(path.join(PACKAGE, "README.md"), "utf8");
  const [server] = blocks(readme, "js");
  const [run] = blocks(readme, "sh");
  const root = folder(t);
  const modules = path.join(root, "node_modules");
  fs.mkdirSync(path.join(modules, ".bin"), { recursive: true });
  fs.symlinkSync(PACKAGE, path.join(modules, "gradual-contract"));
  fs.symlinkSync(path.join(PACKAGE, "node_modules/express"), path.join(modules, "express"));
  fs.symlinkSync(path.join(PACKAGE, "bin/gradual-notify"), path.join(modules, ".bin/gradual-notify"));
  fs.writeFileSync(path.join(root, "server.js"), server);
  fs.writeFileSync(path.join(root, "run"), run, { mode: 0o755 });
  write(path.join(root, ".release.json"), { application: "shop", release: "1.0.0", digest: "ab" });
  const flags = path.join(root, "flags.json");
  write(flags, { flags: { search: flag(0, 1) } });

  const port = await freePort();
  const env = { ...process.env, PORT: String(port), FLAGS_FILE: flags };
  const child = childProcess.spawn(path.join(root, "run"), { cwd: root, env });
  t.after(() => child.kill("SIGKILL"));
  await until(() => ask(port, "/readyz").then(({ status }) => status === 200, () => false));
  assert.equal(JSON.parse((await ask(port, "/version")).body).release, "1.0.0");
  const search = async () => JSON.parse((await ask(port, "/api/search?q=grassy")).body).products.length;
  assert.equal(await search(), 0);
  write(flags, { flags: { search: flag(100, 2) } });
  await until(async () => (await search()) === 1);
  const metrics = (await ask(port, "/metrics")).body;
  assert.match(metrics, /^feature_requests_total\{feature="search",variant="on",outcome="ok"\} 1$/m);
  assert.match(metrics, /^feature_flag_revision\{flag="search",pid="\d+"\} 2$/m);
  const ended = new Promise((resolve) => child.on("exit", resolve));
  child.kill("SIGTERM");
  assert.equal(await ended, 0);
});
