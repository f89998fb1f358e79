import assert from "node:assert/strict";
import { test } from "node:test";
import { eventOf, leftOf, progressOf, wayOf } from "../src/state/way.ts";
import type { Producer } from "../src/wire/overview.ts";

function producer(state: Producer["state"], waiting: number, delivered: number, left_s: number | null): Producer {
  return {
    name: "ingest.kafka",
    use: "ingest",
    durability: "synced",
    state,
    active: "kafka",
    sinks: [],
    memory: { bytes: 0, bytes_max: 1, records: 0 },
    spill: { dir: "spill", bytes: 0, bytes_max: 1, waiting_records: waiting, waiting_bytes: waiting * 1024, trouble: null },
    replay: { delivered, left_s },
    totals: { switches: 0, full: 0, timed_out: 0, refused: 0, unkept: 0 },
    events: [],
  };
}

test("the way says where records are", () => {
  assert.equal(wayOf(producer("direct", 0, 0, null)), "Straight to kafka");
  assert.match(wayOf(producer("buffering", 0, 0, null)), /memory/);
  assert.match(wayOf(producer("spilling", 9, 0, null)), /disk/);
  assert.equal(wayOf(producer("replaying", 9, 1, 3)), "From disk to kafka, beside new ones");
  assert.equal(wayOf(producer("replaying", 0, 10, null)), "From disk to kafka, beside new ones; the last are on their way");
  assert.match(wayOf({ ...producer("replaying", 9, 1, 3), active: null }), /From disk to the cluster/);
  assert.match(wayOf({ ...producer("direct", 0, 0, null), active: null }), /the cluster/);
});

test("the replay says how far it is and how long it takes, and does not make a time up", () => {
  assert.deepEqual(progressOf(producer("replaying", 300, 100, 60)), { done: 100, all: 400 });
  assert.equal(leftOf(producer("replaying", 300, 100, 75)), "300 left, 300 KiB; about 1 min 15 s");
  assert.equal(leftOf(producer("replaying", 1, 399, 0.2)), "1 left, 1.00 KiB; about 1 s");
  assert.equal(leftOf(producer("spilling", 300, 0, null)), "300 left, 300 KiB; nothing moves");
  assert.equal(leftOf(producer("direct", 0, 0, null)), "nothing waits");
});

test("events are told in words", () => {
  assert.equal(eventOf({ at_ms: 1, what: "switched", from: "a", to: "b" }), "switched from a to b");
  assert.equal(eventOf({ at_ms: 1, what: "state", from: "direct", to: "spilling" }), "direct → spilling");
  assert.match(eventOf({ at_ms: 1, what: "spill_trouble", why: "no space" }), /no space/);
  assert.match(eventOf({ at_ms: 1, what: "refused", records: 2, why: "too large" }), /2 refused for good.*too large/);
});
