import assert from "node:assert/strict";
import { test } from "node:test";
import { rateBetween } from "../src/state/rates.ts";

test("a rate is the growth over the time", () => {
  assert.equal(rateBetween(100, 150, 1000), 50);
  assert.equal(rateBetween(100, 150, 2000), 25);
  assert.equal(rateBetween(7, 7, 1000), 0);
});

test("a counter that went back says nothing: Seawall was restarted", () => {
  assert.equal(rateBetween(150, 100, 1000), null);
});

test("no time, no rate", () => {
  assert.equal(rateBetween(1, 2, 0), null);
  assert.equal(rateBetween(1, 2, -5), null);
});
