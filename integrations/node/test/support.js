// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** What several tests need: folders, flag files, applications of each framework, and the figures of /metrics. */

const childProcess = require("node:child_process");
const fs = require("node:fs");
const http = require("node:http");
const net = require("node:net");
const os = require("node:os");
const path = require("node:path");
const { setTimeout: sleep } = require("node:timers/promises");
const { promisify } = require("node:util");
const { Registry } = require("prom-client");
const { gradual } = require("..");

const ROOT = path.resolve(__dirname, "../../..");
const PYTHON = path.join(ROOT, ".venv/bin/python");

/** A folder that the test's end removes. */
function folder(t) {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), "gradual-node-"));
  t.after(() => fs.rmSync(made, { recursive: true }));
  return made;
}

/** The output of one of the Python scripts here, which use the collection itself. */
async function python(script, ...given) {
  const env = { ...process.env, PYTHONPATH: path.join(ROOT, "collections") };
  const run = promisify(childProcess.execFile);
  return (await run(PYTHON, [path.join(__dirname, script), ...given], { env, maxBuffer: 1 << 26 })).stdout;
}

/** A flag of this share of the users, as the collection writes it. */
function flag(percent, revision, more = {}) {
  return {
    state: "ENABLED",
    variants: { on: true, off: false },
    defaultVariant: "off",
    metadata: { revision },
    ...(percent && { targeting: { fractional: [["on", percent], ["off", 100 - percent]] } }),
    ...more,
  };
}

/** Replace a file in one step. */
function write(file, text) {
  fs.writeFileSync(`${file}.new`, typeof text === "string" ? text : JSON.stringify(text));
  fs.renameSync(`${file}.new`, file);
}

/** Wait until a condition holds, a minute at most. */
async function until(condition) {
  for (let tries = 0; tries < 1200; tries++) {
    const told = await condition();
    if (told) return told;
    await sleep(50);
  }
  throw new Error(`this did not come true: ${condition}`);
}

/** {series: value} of the text of /metrics. */
function samples(text) {
  const lines = text.split("\n").filter((line) => line && !line.startsWith("#"));
  return Object.fromEntries(
    lines.map((line) => {
      const end = line.lastIndexOf(" ");
      return [line.slice(0, end), Number(line.slice(end + 1))];
    }),
  );
}

/** The library with a registry of its own, a flag file in a folder of its own, and what it logged. */
function rolled(t, flags, options = {}) {
  const file = path.join(folder(t), "flags.json");
  if (flags !== undefined) write(file, flags);
  const said = [];
  const rollout = gradual({
    features: { search: ["/api/search", "/api/products/:sku"] },
    flagsFile: file,
    registry: new Registry(),
    log: (sentence) => said.push(sentence),
    ...options,
  });
  t.after(() => rollout.close());
  const pid = process.pid;
  const figures = async () => samples(await rollout.registry.metrics());
  return { rollout, file, said, figures, pid };
}

/** What each application of the tests does: search, a product, an order, a failure. */
function search(use) {
  return { found_by: use.isOn("search") ? "words" : "name" };
}

function expressApplication(express) {
  return (rollout) => {
    const app = express();
    app.set("env", "test"); // Express prints errors elsewhere
    app.use(rollout.express);
    app.get("/api/search", (request, response) => response.json(search(request.gradual)));
    app.get("/api/products/:sku", () => {
      throw new Error("a defect");
    });
    app.post("/api/orders", (request, response) => {
      request.gradual.count("feature_orders");
      request.gradual.feedback("search", "good");
      response.cookie("session", "own").status(201).json({});
    });
    return http.createServer(app);
  };
}

function fastifyApplication(fastify) {
  return async (rollout) => {
    const app = fastify();
    await app.register(rollout.fastify);
    app.get("/api/search", async (request) => search(request.gradual));
    app.get("/api/products/:sku", async () => {
      throw new Error("a defect");
    });
    app.post("/api/orders", async (request, reply) => {
      request.gradual.count("feature_orders");
      request.gradual.feedback("search", "good");
      return reply.code(201).header("Set-Cookie", "session=own").send({});
    });
    await app.ready();
    return app.server;
  };
}

function plainApplication(rollout) {
  return http.createServer(
    rollout.http((request, response) => {
      const [address] = request.url.split("?");
      if (request.method === "POST" && address === "/api/orders") {
        request.gradual.count("feature_orders");
        request.gradual.feedback("search", "good");
        response.writeHead(201, { "Set-Cookie": "session=own" }).end("{}");
      } else if (address === "/api/search") {
        response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(search(request.gradual)));
      } else {
        response.writeHead(address.startsWith("/api/products/") ? 500 : 404).end();
      }
    }),
  );
}

const APPLICATIONS = {
  "Express 5": expressApplication(require("express")),
  "Express 4": expressApplication(require("express4")),
  "Fastify 4": fastifyApplication(require("fastify")),
  "plain http": plainApplication,
};

/** Listen on a free port; {ask(path, {method, headers}) → {status, headers, body}}. */
async function served(t, server) {
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address();
  return { port, ask: (address, options) => ask(port, address, options) };
}

/** One request on a connection of its own. */
function ask(port, address, { method = "GET", headers = {}, agent = false } = {}) {
  return new Promise((resolve, reject) => {
    const request = http.request({ port, host: "127.0.0.1", path: address, method, headers, agent }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (part) => (body += part));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end();
  });
}

/** A port on which nothing listens. */
async function freePort() {
  const server = net.createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

module.exports = {
  APPLICATIONS,
  ask,
  flag,
  folder,
  freePort,
  python,
  rolled,
  samples,
  served,
  sleep,
  until,
  write,
};
