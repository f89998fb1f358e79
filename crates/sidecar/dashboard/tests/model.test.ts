import assert from "node:assert/strict";
import { test } from "node:test";
import { Model } from "../src/state/model.ts";
import type { Pipeline, Snapshot } from "../src/wire/overview.ts";

function pipeline(name: string, acked: number): Pipeline {
  return {
    name, source: "log", member: null, topics: [name], group: "g", ordering: "key", state: "running", fault: null, target: "http://127.0.0.1:1/",
    totals: { fetched: acked, acked, retried: 0, dead_lettered: 0, deferred: 0, refused: 0, panics: 0, duplicates: 0, timeouts: 0 },
    in_flight: 0, lanes: { ready: 0, busy: 0, parked: 0, overflowed: 0 }, latency_seconds: { p50: 0, p90: 0, p99: 0, max: 0 },
    queue: { records: 0, bytes: 0, records_max: 1, bytes_max: 1 },
    guard: { mode: "wait", rate: null, concurrency: { limit: 1, used: 0, waiting: 0 }, adaptive: null, breaker: null, refusals: { rate: 0, concurrency: 0, adaptive: 0, breaker: 0 } },
    partitions: [], stalls: [], dead_letters: { topic: `${name}.dead`, count: 0 }, claims: null,
  };
}

function snapshot(uptime_s: number, accepted: number, pipelines: Pipeline[]): Snapshot {
  return { at_ms: 1_000_000 + uptime_s * 1000, version: "0", uptime_s, panics_total: 0, pipelines, ingest: { accepted, refused: { rate: 0, concurrency: 0, full: 0, invalid: 0 } } };
}

test("the page is stale once Seawall has been silent for longer than a few of its seconds", () => {
  const model = new Model();
  assert.equal(model.staleSince(99_000), null, "what was never heard cannot be stale");
  model.take(snapshot(1, 0, [pipeline("a", 0)]), 10_000);
  assert.equal(model.staleSince(12_000), null);
  assert.equal(model.staleSince(14_000), 10_000);
  model.take(snapshot(2, 0, [pipeline("a", 0)]), 15_000);
  assert.equal(model.staleSince(16_000), null);
});

test("the chosen pipeline is shown while it exists, else the first", () => {
  const model = new Model();
  model.select("b");
  assert.equal(model.view(), null);
  model.take(snapshot(1, 0, [pipeline("a", 0), pipeline("b", 0)]), 0);
  assert.equal(model.view()?.pipeline.name, "b");
  model.take(snapshot(2, 0, [pipeline("a", 0)]), 0);
  assert.equal(model.view()?.pipeline.name, "a");
});

test("ingest has a rate from the second snapshot on, and none over a restart", () => {
  const model = new Model();
  model.take(snapshot(10, 100, []), 0);
  assert.equal(model.ingestRate, null);
  model.take(snapshot(12, 300, []), 0);
  assert.equal(model.ingestRate, 100);
  const restarted = snapshot(1, 400, []);
  model.take({ ...restarted, at_ms: 1_020_000 }, 0);
  assert.equal(model.ingestRate, null);
});

test("a restart forgets the past of every pipeline, even when its counters look grown", () => {
  const model = new Model();
  model.take(snapshot(10, 0, [pipeline("a", 5)]), 0);
  model.take(snapshot(11, 0, [pipeline("a", 6)]), 0);
  assert.equal(model.history("a").length, 2);
  model.take({ ...snapshot(1, 0, [pipeline("a", 50)]), at_ms: 1_020_000 }, 0);
  assert.equal(model.history("a").length, 1);
});
