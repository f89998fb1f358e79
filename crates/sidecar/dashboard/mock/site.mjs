/** A stand-in for Seawall's admin address: dist/ with Seawall's content security policy, and the calls the page makes. */

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { full } from "./letters.mjs";

const dist = fileURLToPath(new URL("../dist/", import.meta.url));
const MIME = { ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml", ".woff2": "font/woff2", ".txt": "text/plain; charset=utf-8" };
const CSP = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/** How many seconds are kept for pages that connect. */
const PAST = 300;

export class Site {
  /** `warm`: plays what was to every page that connects, so that its charts are full at once. */
  constructor({ world, token, warm = 0 }) {
    Object.assign(this, { world, token, warm, past: [], streams: new Set() });
    for (let second = warm; second > 0; second -= 1) this.step(Date.now() - second * 1000);
    this.step(Date.now());
  }

  /** Listens at `port`, or at a free one, and moves each second. */
  async open(port = 0) {
    this.server = createServer((request, response) => {
      const url = new URL(request.url, "http://mock");
      const answer = url.pathname.startsWith("/v1/") ? call(this, request, response, url) : file(response, url.pathname);
      answer?.catch?.((error) => problem(response, 500, "The mock failed", String(error)));
    });
    await new Promise((listening) => this.server.listen(port, "127.0.0.1", listening));
    this.timer = setInterval(() => this.step(Date.now()), 1000);
    return `http://127.0.0.1:${this.server.address().port}/`;
  }

  close() {
    clearInterval(this.timer);
    this.server.close();
    this.server.closeAllConnections();
  }

  step(at_ms) {
    this.world.step(at_ms);
    this.tell(at_ms);
  }

  /** Says how it stands to every page that listens, without a step. */
  tell(at_ms = Date.now()) {
    const data = JSON.stringify(this.world.overview(at_ms));
    this.past.push(data);
    if (this.past.length > PAST) this.past.shift();
    for (const stream of this.streams) stream.write(`event: snapshot\ndata: ${data}\n\n`);
  }

  listen(response) {
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    const told = this.warm > 0 ? this.past : this.past.slice(-1);
    for (const data of told) response.write(`event: snapshot\ndata: ${data}\n\n`);
    this.streams.add(response);
    response.on("close", () => this.streams.delete(response));
  }
}

const json = (response, body, status = 200, type = "application/json") => {
  response.writeHead(status, { "content-type": type, "cache-control": "no-store" });
  response.end(JSON.stringify(body));
};
const problem = (response, status, title, detail) => json(response, { type: "about:blank", title, status, detail }, status, "application/problem+json");

async function bodyOf(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text === "" ? {} : JSON.parse(text);
}

function list(response, pipeline, query) {
  const limit = Number(query.get("limit") ?? 50);
  const after = Number(query.get("after") ?? 0);
  const q = (query.get("q") ?? "").toLowerCase();
  const found = pipeline.letters.filter((one) => q === "" || `${one.key} ${one.error} ${one.value}`.toLowerCase().includes(q));
  const items = found.slice(after, after + limit).map(({ value: _, ...one }) => one);
  json(response, { items, next: after + limit < found.length ? String(after + limit) : null });
}

async function remove(request, response, pipeline, purge) {
  const order = await bodyOf(request);
  if (purge && order.confirm !== true) return problem(response, 400, "Not confirmed", "`confirm` is missing; true is needed");
  if (!purge && !(order.rate > 0)) return problem(response, 400, "Bad rate", `\`rate\` is ${order.rate}; records per second above 0 are needed`);
  const named = new Set((order.ids ?? []).map((id) => `${id.partition}/${id.offset}`));
  const before = pipeline.letters.length;
  if (!purge && order.all) return slowly(response, pipeline, order.rate);
  pipeline.letters = pipeline.letters.filter((one) => !order.all && !named.has(`${one.partition}/${one.offset}`));
  const count = before - pipeline.letters.length;
  json(response, purge ? { count } : { running: false, count, redriven: count, failed: 0, error: null });
}

/** A redrive of everything takes its time. */
function slowly(response, pipeline, rate) {
  pipeline.redrive = { running: true, count: pipeline.letters.length, redriven: 0, failed: 0, error: null };
  const timer = setInterval(() => {
    const done = pipeline.letters.splice(0, Math.ceil(rate / 4)).length;
    pipeline.redrive.redriven += done;
    if (done > 0 && pipeline.redrive.redriven < pipeline.redrive.count) return;
    pipeline.redrive.running = false;
    clearInterval(timer);
  }, 250);
  json(response, pipeline.redrive, 202);
}

async function call(site, request, response, url) {
  const { world, token } = site;
  if (token && request.headers.authorization !== `Bearer ${token}`) return problem(response, 401, "Unauthorized", "A bearer token is needed.");
  if (request.method === "POST" && request.headers["content-type"] !== "application/json") return problem(response, 415, "Unsupported media type", "application/json is needed");
  if (url.pathname === "/v1/overview") return json(response, world.overview(Date.now()));
  if (url.pathname === "/v1/events") return site.listen(response);
  const [, name, ...rest] = /^\/v1\/pipelines\/([^/]+)\/(.*)$/.exec(url.pathname) ?? [];
  const pipeline = name && world.pipeline(decodeURIComponent(name));
  if (!pipeline) return problem(response, 404, "No such pipeline", `“${name}” is not one of ${world.pipelines.map((one) => one.name).join(", ")}`);
  const action = rest.join("/");
  if (action === "pause" || action === "resume") {
    const which = url.searchParams.get("partition");
    if (which === null) pipeline.paused = action === "pause";
    else pipeline.all[Number(which)].paused = action === "pause";
    return json(response, {});
  }
  if (action === "limits") {
    const patch = await bodyOf(request);
    if (patch.concurrency?.limit > 10_000) return problem(response, 422, "Limit refused", `concurrency.limit is ${patch.concurrency.limit}; at most 10000 is possible here`);
    Object.assign(pipeline.limits.concurrency, patch.concurrency);
    Object.assign(pipeline.limits.rate, patch.rate);
    return json(response, pipeline.limits);
  }
  if (action === "dead-letters") return list(response, pipeline, url.searchParams);
  if (action === "dead-letters/redrive" && request.method === "GET") return json(response, pipeline.redrive ?? { running: false, count: 0, redriven: 0, failed: 0, error: null });
  if (action === "dead-letters/redrive") return remove(request, response, pipeline, false);
  if (action === "dead-letters/purge") return remove(request, response, pipeline, true);
  const [, partition, offset] = /^dead-letters\/(\d+)\/(\d+)$/.exec(action) ?? [];
  const one = pipeline.letters.find((letter) => `${letter.partition}/${letter.offset}` === `${partition}/${offset}`);
  return one ? json(response, full(one)) : problem(response, 404, "No such dead letter", `${partition}/${offset} was redriven, purged or never there`);
}

async function file(response, path) {
  try {
    const bytes = await readFile(join(dist, normalize(path === "/" ? "/index.html" : path)));
    response.writeHead(200, { "content-type": MIME[extname(path) || ".html"], "content-security-policy": CSP, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "cache-control": "no-cache" });
    response.end(bytes);
  } catch {
    problem(response, 404, "Not found", path);
  }
}
