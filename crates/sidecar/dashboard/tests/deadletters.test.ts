import assert from "node:assert/strict";
import { test } from "node:test";
import { Problem } from "../src/api/problem.ts";
import { readable } from "../src/deadletters/value.ts";
import { Selection } from "../src/deadletters/selection.ts";

test("a selection gives each letter once, in order", () => {
  const selection = new Selection();
  for (const [partition, offset] of [[2, 5], [0, 9], [2, 1], [0, 9]] as const) selection.set({ partition, offset }, true);
  selection.set({ partition: 2, offset: 5 }, false);
  assert.deepEqual(selection.ids(), [{ partition: 0, offset: 9 }, { partition: 2, offset: 1 }]);
  assert.ok(selection.has({ partition: 0, offset: 9 }) && !selection.has({ partition: 2, offset: 5 }));
});

test("JSON is indented, everything else stays as it is", () => {
  assert.equal(readable('{"a":[1]}'), '{\n  "a": [\n    1\n  ]\n}');
  for (const value of ["plain", "{broken", "12345678901234567890", ""]) assert.equal(readable(value), value);
});

test("a problem document gives title and detail", () => {
  const problem = Problem.parse(409, '{"title":"Not paused","detail":"orders is running","status":409}');
  assert.deepEqual([problem.title, problem.detail, problem.status], ["Not paused", "orders is running", 409]);
});

test("an answer that is no problem document is told by its status", () => {
  for (const body of ["<html>Bad gateway</html>", "", "[]", "null", '{"title":7}']) {
    assert.equal(Problem.parse(502, body).title, "HTTP status 502", body);
  }
});
