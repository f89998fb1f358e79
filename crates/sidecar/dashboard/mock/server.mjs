/**
 * A stand-in for Seawall's admin address, to work on the page without one.
 *
 *     node mock/server.mjs [--port 9099] [--token SECRET] [--imbalance] [--warm SECONDS]
 *
 * `--warm` plays that many seconds at once to every page that connects, so that charts are full.
 */

import { parseArgs } from "node:util";
import { Site } from "./site.mjs";
import { World } from "./world.mjs";

const { values: options } = parseArgs({
  options: { port: { type: "string", default: "9099" }, token: { type: "string" }, imbalance: { type: "boolean", default: false }, warm: { type: "string", default: "0" } },
});

const world = new World({ imbalance: options.imbalance });
const site = new Site({ world, token: options.token, warm: Number(options.warm) });
console.error(`admin: ${await site.open(Number(options.port))}`);
