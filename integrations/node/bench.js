// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/**
 * What the library costs: node bench.js [SECONDS], or make bench-node.
 *
 * An Express service with and without the library, in turns, asked over kept-alive connections from this process: the
 * requests a second with 32 at once, the CPU time of the service for each of them, which a busy machine changes least,
 * and the median time to answer with one at a time. The first requests warm it up: Node compiles what runs often.
 */

const childProcess = require("node:child_process");
const fs = require("node:fs");
const http = require("node:http");
const os = require("node:os");
const path = require("node:path");

const SECONDS = Number(process.argv[2] ?? 3);
const ROUNDS = 3;
const WARM = 10000;
const PORT = 18080;

/** The service; in a process of its own. */
function serve(kind, flagsFile) {
  const app = require("express")();
  if (kind === "with") {
    const { gradual } = require(".");
    app.use(gradual({ features: { search: ["/api/search"] }, flagsFile }).express);
  }
  app.get("/api/search", (_request, response) => response.json({ products: ["Green Sencha"] }));
  process.on("message", () => process.send(process.cpuUsage()));
  app.listen(PORT, "127.0.0.1", () => process.send("up"));
}

function ask(agent) {
  const began = process.hrtime.bigint();
  const headers = { Cookie: "visitor=user-1" };
  return new Promise((resolve, reject) => {
    const request = http.get({ port: PORT, host: "127.0.0.1", path: "/api/search?q=a", headers, agent }, (response) => {
      response.resume();
      response.on("end", () => resolve(Number(process.hrtime.bigint() - began) / 1e6));
    });
    request.on("error", reject);
  });
}

/** Milliseconds of each request, with so many at once, while `more(requests so far)`. */
async function load(atOnce, more) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: atOnce });
  const times = [];
  const one = async () => {
    while (more(times.length)) times.push(await ask(agent));
  };
  await Promise.all(Array.from({ length: atOnce }, one));
  agent.destroy();
  return times;
}

function forSeconds(seconds) {
  const end = Date.now() + seconds * 1000;
  return () => Date.now() < end;
}

function median(numbers) {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)];
}

/** Microseconds of CPU that the service has used. */
async function cpuOf(child) {
  child.send("cpu");
  const { user, system } = await new Promise((resolve) => child.once("message", resolve));
  return user + system;
}

async function measure(kind, flagsFile) {
  const child = childProcess.fork(__filename, ["serve", kind, flagsFile]);
  await new Promise((resolve) => child.once("message", resolve));
  await load(32, (requests) => requests < WARM);
  const before = await cpuOf(child);
  const requests = (await load(32, forSeconds(SECONDS))).length;
  const cpu = ((await cpuOf(child)) - before) / requests;
  const rate = requests / SECONDS;
  const latency = median(await load(1, forSeconds(SECONDS)));
  child.kill();
  await new Promise((resolve) => child.once("exit", resolve));
  return { rate, cpu, latency };
}

async function main() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "gradual-bench-"));
  const flagsFile = path.join(folder, "flags.json");
  const targeting = { fractional: [["on", 50], ["off", 50]] };
  const search = { state: "ENABLED", variants: { on: true, off: false }, defaultVariant: "off", targeting };
  fs.writeFileSync(flagsFile, JSON.stringify({ flags: { search } }));
  const seen = { without: [], with: [] };
  for (let round = 0; round < ROUNDS; round++) {
    for (const kind of ["without", "with"]) seen[kind].push(await measure(kind, flagsFile));
  }
  fs.rmSync(folder, { recursive: true });
  console.log(`load of the machine: ${os.loadavg()[0].toFixed(1)} on ${os.cpus().length} cores`);
  for (const kind of ["without", "with"]) {
    const rate = median(seen[kind].map((each) => each.rate));
    const cpu = median(seen[kind].map((each) => each.cpu));
    const latency = median(seen[kind].map((each) => each.latency));
    console.log(
      `${kind}: ${rate.toFixed(0)} requests/s and ${cpu.toFixed(0)} us of CPU each with 32 at once;` +
        ` median ${latency.toFixed(3)} ms alone`,
    );
  }
}

if (process.argv[2] === "serve") serve(process.argv[3], process.argv[4]);
else main();
