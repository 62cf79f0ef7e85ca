// Copyright: The Gradual project
// BSD-2-Clause (see the file LICENSE)
"use strict";

/** A service for serve.test.js: node service.js http|express|fastify. /slow answers after a second. */

const { gradual } = require("..");
const { sleep } = require("./support");

const rollout = gradual();
const listen = {
  http: () =>
    rollout.http(async (_request, response) => {
      await sleep(1000);
      response.end("done");
    }),
  express: () => {
    const app = require("express")();
    app.use(rollout.express);
    app.get("/slow", async (_request, response) => {
      await sleep(1000);
      response.send("done");
    });
    return app;
  },
  fastify: () => {
    const app = require("fastify")();
    app.register(rollout.fastify);
    app.get("/slow", async () => {
      await sleep(1000);
      return "done";
    });
    return app;
  },
}[process.argv[2]];
rollout.serve(listen(), { host: "127.0.0.1", onStop: () => process.stdout.write("stopped\n") });
