import assert from "node:assert/strict";
import { test } from "node:test";
import { Newsroom } from "../src/state/news.ts";
import { memberOf, sourceOf, unassigned } from "../src/state/origin.ts";
import { byAge, keyOf, placeOf, wordsOf } from "../src/state/stalls.ts";
import type { Pipeline, Stall } from "../src/wire/overview.ts";

/** As much of a pipeline as its standing needs. */
function pipeline(name: string, more: Partial<Pipeline> = {}): Pipeline {
  return { name, source: "log", member: null, state: "running", fault: null, stalls: [], ...more } as Pipeline;
}

function stall(more: Partial<Stall> = {}): Stall {
  return { kind: "fetch", worker: null, topic: null, partition: null, offset: null, key: null, token: null, lasted_s: 11, ...more };
}

test("a failure that is there at first is told, once, and again with another reason", () => {
  const newsroom = new Newsroom();
  const failed = pipeline("a", { state: "failed", fault: "no right" });
  assert.deepEqual(newsroom.take([failed, pipeline("b")]), { urgent: ["Pipeline a has failed: no right"], calm: [] });
  assert.deepEqual(newsroom.take([failed, pipeline("b")]), { urgent: [], calm: [] });
  assert.deepEqual(newsroom.take([{ ...failed, fault: "no login" }]).urgent, ["Pipeline a has failed: no login"]);
});

test("who waits to join is told of once, however its reason changes, and when it has joined", () => {
  const newsroom = new Newsroom();
  const waits = (fault: string) => [pipeline("a", { state: "joining", fault })];
  assert.deepEqual(newsroom.take(waits("refused")).calm, ["Pipeline a waits to join its group: refused"]);
  assert.deepEqual(newsroom.take(waits("timed out")).calm, []);
  assert.deepEqual(newsroom.take([pipeline("a")]).calm, ["Pipeline a is running"]);
  assert.deepEqual(newsroom.take([pipeline("a", { state: "paused" })]).calm, [], "a pause is asked for, and answered where it was");
});

test("stalls are told of when they begin and when they are over", () => {
  const newsroom = new Newsroom();
  const stalled = (...stalls: Stall[]) => [pipeline("a", { stalls })];
  assert.deepEqual(newsroom.take(stalled(stall())).calm, ["Pipeline a: something stands still"]);
  assert.deepEqual(newsroom.take(stalled(stall({ lasted_s: 12 }), stall({ kind: "runtime" }))).calm, []);
  assert.deepEqual(newsroom.take(stalled()).calm, ["Pipeline a: nothing stands still any more"]);
});

test("a stall says what is known of its place", () => {
  assert.equal(placeOf(stall()), "");
  assert.equal(placeOf(stall({ topic: "orders", partition: 0, offset: 0 })), "orders/0 at offset 0");
  assert.equal(placeOf(stall({ offset: 1_234 })), "at offset 1,234", "its partition has been given away meanwhile");
  assert.equal(wordsOf(stall({ kind: "worker", worker: 0 })), "A worker is held by a handler that blocks (worker 0)");
  assert.equal(wordsOf(stall({ kind: "clock" as Stall["kind"] })), "clock");
});

test("a stall is the same one a second later, and the oldest comes first", () => {
  assert.equal(keyOf(stall({ lasted_s: 11 })), keyOf(stall({ lasted_s: 12 })));
  assert.notEqual(keyOf(stall({ offset: 1 })), keyOf(stall({ offset: 2 })));
  assert.deepEqual(byAge([stall({ lasted_s: 1 }), stall({ lasted_s: 3 }), stall({ lasted_s: 2 })]).map((one) => one.lasted_s), [3, 2, 1]);
});

test("where records come from, and why there is no partition", () => {
  const member = { client_id: "c", instance_id: "i-0", joined: true };
  assert.equal(sourceOf(pipeline("a")), "Embedded log");
  assert.equal(memberOf(pipeline("a")), null);
  assert.equal(sourceOf(pipeline("a", { source: "eu" })), "Kafka: eu");
  assert.equal(memberOf(pipeline("a", { source: "eu", member })), "Client c, static instance i-0, a member of its group");
  assert.equal(memberOf(pipeline("a", { source: "eu", member: { ...member, instance_id: null, joined: false } })), "Client c, not a member of its group now");
  const reasons = (["joining", "failed", "stopped", "running"] as const).map((state) => unassigned(pipeline("a", { source: "eu", state })));
  assert.equal(new Set([...reasons, unassigned(pipeline("a"))]).size, 5, "each has its own words");
});
