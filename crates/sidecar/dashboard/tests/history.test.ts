import assert from "node:assert/strict";
import { test } from "node:test";
import { History, type Sample, WINDOW_MS } from "../src/state/history.ts";

function sample(at_ms: number, acked: number, more: Partial<Sample> = {}): Sample {
  const refusals = { rate: 0, concurrency: 0, adaptive: 0, breaker: 0 };
  return { at_ms, acked, retried: 0, dead_lettered: 0, panics: 0, refusals, p50: 0.01, p90: 0.02, p99: 0.05, max: 0.1, ...more };
}

test("rates are aligned with times, and the first sample has none", () => {
  const history = new History();
  history.add(sample(1_000, 10));
  history.add(sample(2_000, 30));
  history.add(sample(4_000, 50));
  assert.deepEqual(history.times(), [1, 2, 4]);
  assert.deepEqual(history.rates("acked"), [null, 20, 10]);
});

test("a hole in the stream is a gap in the chart, not a slope", () => {
  const history = new History();
  history.add(sample(1_000, 0));
  history.add(sample(2_000, 10));
  history.add(sample(60_000, 20));
  history.add(sample(61_000, 50));
  assert.deepEqual(history.times(), [1, 2, 2.001, 60, 61]);
  assert.deepEqual(history.rates("acked"), [null, 10, null, null, 30]);
  assert.deepEqual(history.latencies("p50"), [0.01, 0.01, null, 0.01, 0.01]);
});

test("a restart begins anew", () => {
  const history = new History();
  history.add(sample(1_000, 1_000));
  history.add(sample(2_000, 3));
  assert.equal(history.length, 1);
  assert.equal(history.recent((one) => one.acked), null);
});

test("a clock that goes back begins anew, the same instant twice counts once", () => {
  const history = new History();
  history.add(sample(5_000, 10));
  history.add(sample(5_000, 10));
  assert.equal(history.length, 1);
  history.add(sample(4_000, 12));
  assert.deepEqual(history.times(), [4]);
});

test("only the window is kept", () => {
  const history = new History();
  for (let second = 0; second < 1_000; second += 1) history.add(sample(second * 1_000, second));
  assert.ok(history.length <= WINDOW_MS / 1_000 + 6, `${history.length} samples kept`);
  assert.equal(history.times().at(-1), 999);
});

test("the recent rate looks at its span alone", () => {
  const history = new History();
  history.add(sample(0, 0));
  history.add(sample(60_000, 6_000));
  history.add(sample(62_000, 6_010));
  history.add(sample(64_000, 6_020));
  assert.equal(history.recent((one) => one.acked), 5);
  assert.equal(history.growth((one) => one.acked), 6_020);
});

test("a latency of zero or none cannot stand on a logarithmic axis", () => {
  const history = new History();
  history.add(sample(1_000, 0, { p50: 0, p99: null }));
  assert.deepEqual(history.latencies("p50"), [null]);
  assert.deepEqual(history.latencies("p99"), [null]);
});
