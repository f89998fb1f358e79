import assert from "node:assert/strict";
import { test } from "node:test";
import { isMove, moved } from "../src/state/grid.ts";
import { lagOf, lagStep } from "../src/state/lag.ts";
import { imbalanced, ledgerOf, signed } from "../src/state/ledger.ts";
import { backoff_ms } from "../src/stream/backoff.ts";
import type { Partition } from "../src/wire/overview.ts";

test("each factor of ten of lag is a step", () => {
  const steps = [0, 1, 9, 10, 99, 100, 999, 1_000, 9_999, 10_000, 1e9].map(lagStep);
  assert.deepEqual(steps, [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
  assert.equal(lagStep(-1), 0);
});

test("arrow keys move in a wrapped grid and stop at its edges", () => {
  // 0 1 2 3
  // 4 5 6
  assert.equal(moved("ArrowRight", 3, 7, 4), 4);
  assert.equal(moved("ArrowLeft", 0, 7, 4), 0);
  assert.equal(moved("ArrowDown", 1, 7, 4), 5);
  assert.equal(moved("ArrowDown", 3, 7, 4), 3, "there is nothing below the last column");
  assert.equal(moved("ArrowUp", 2, 7, 4), 2);
  assert.equal(moved("ArrowUp", 6, 7, 4), 2);
  assert.equal(moved("Home", 5, 7, 4), 0);
  assert.equal(moved("End", 0, 7, 4), 6);
  assert.ok(isMove("End") && !isMove("Enter"));
});

function partition(number: number, imbalance: number): Partition {
  const ledger = { fetched: 13 + imbalance, acked: 6, dead_lettered: 1, deferred: 3, parked: 2, in_flight: 1, imbalance };
  return { topic: "orders", partition: number, generation: 1, paused: false, watermark: 0, next: 0, end: 0, lag: 0, in_flight: 1, parked: 2, parked_keys: 1, ledger };
}

test("without a partition there is no lag to speak of", () => {
  assert.equal(lagOf([]), null);
  assert.equal(lagOf([{ ...partition(0, 0), lag: 3 }, { ...partition(1, 0), lag: 4 }]), 7);
});

test("the ledger adds up over partitions", () => {
  assert.deepEqual(ledgerOf([partition(0, 0), partition(1, 2)]), { fetched: 28, acked: 12, dead_lettered: 2, deferred: 6, parked: 4, in_flight: 2, imbalance: 2 });
});

test("imbalances that cancel out are still found", () => {
  const off = imbalanced([partition(0, 2), partition(1, -2), partition(2, 0)]);
  assert.deepEqual(off.map((one) => `${one.partition} ${signed(one.ledger.imbalance)}`), ["0 +2", "1 -2"]);
});

test("backoff doubles up to its bound, jitter takes at most half", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 5, 60].map((attempt) => backoff_ms(attempt, 0)), [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
  assert.equal(backoff_ms(60, 0.999_999), 5_000);
});
