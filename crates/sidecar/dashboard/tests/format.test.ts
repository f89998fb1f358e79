import assert from "node:assert/strict";
import { test } from "node:test";
import { bytes, compact, count, NONE, percent, rate } from "../src/format/number.ts";
import { ago, elapsed, latency } from "../src/format/time.ts";

const table = <In>(name: string, format: (value: In) => string, rows: [In, string][]) =>
  test(name, () => {
    for (const [value, expected] of rows) assert.equal(format(value), expected, `${name}(${value})`);
  });

table<number | null>("count", count, [[0, "0"], [1234567, "1,234,567"], [null, NONE], [Number.NaN, NONE]]);

table<number | null>("compact", compact, [
  [9_999, "9,999"],
  [10_000, "10.0k"],
  [12_345, "12.3k"],
  [999_499, "999k"],
  [999_950, "1.00M"],
  [1_234_567, "1.23M"],
  [7.2e9, "7.20G"],
  [null, NONE],
]);

table<number | null>("rate", rate, [[0, "0"], [0.01, "<0.1"], [0.3, "0.3"], [99.94, "99.9"], [99.96, "100"], [12_345, "12.3k"], [null, NONE]]);

table<number | null>("percent", percent, [[0, "0 %"], [0.0004, "<0.1 %"], [0.071, "7.1 %"], [0.5, "50 %"], [1, "100 %"], [null, NONE]]);

table<number | null>("bytes", bytes, [[0, "0 B"], [1023, "1023 B"], [1024, "1.00 KiB"], [1_690_000, "1.61 MiB"], [64 * 1024 * 1024, "64.0 MiB"], [null, NONE]]);

table<number | null>("latency", latency, [
  [0, "0 s"],
  [0.0000123, "12.3 µs"],
  [0.00085, "850 µs"],
  [0.0009999, "1.00 ms"],
  [0.00412, "4.12 ms"],
  [0.0868, "86.8 ms"],
  [0.9999, "1.00 s"],
  [1.239, "1.24 s"],
  [130, "2 min 10 s"],
  [null, NONE],
]);

table<number | null>("elapsed", elapsed, [[0.9, "0 s"], [42, "42 s"], [723, "12 min 03 s"], [7500, "2 h 05 min"], [273_600, "3 d 04 h"], [null, NONE]]);

test("ago", () => {
  assert.equal(ago(1_000, 13_500), "12 s ago");
  assert.equal(ago(0, 125_000), "2 min ago");
  assert.equal(ago(0, 3 * 3_600_000), "3 h ago");
  assert.equal(ago(0, 49 * 3_600_000), "2 d ago");
  assert.equal(ago(5_000, 1_000), "0 s ago", "clocks that differ do not give the future");
});
