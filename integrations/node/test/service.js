// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** A service for serve.test.js: node service.js http|express|fastify. /slow answers once the file $FINISH is there. */

const fs = require("node:fs");
const { gradual } = require("..");
const { sleep } = require("./support");

async function slow() {
  process.stdout.write("begun\n");
  while (!fs.existsSync(process.env.FINISH)) await sleep(20);
  return "done";
}

const rollout = gradual();
const applications = {
  http: () =>
    rollout.http(async (_request, response) => {
      response.end(await slow());
    }),
  express: () => {
    const app = require("express")();
    app.use(rollout.express);
    app.get("/slow", async (_request, response) => response.send(await slow()));
    return app;
  },
  fastify: () => {
    const app = require("fastify")();
    app.register(rollout.fastify);
    app.get("/slow", slow);
    return app;
  },
};
const app = applications[process.argv[2]]();
rollout.serve(app, { host: "127.0.0.1", onStop: () => process.stdout.write("stopped\n") });
