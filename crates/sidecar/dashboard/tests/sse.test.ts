import assert from "node:assert/strict";
import { test } from "node:test";
import { EVENT_CHARS_MAX, SseParser } from "../src/stream/sse.ts";

const parse = (...chunks: string[]) => {
  const parser = new SseParser();
  return chunks.flatMap((chunk) => parser.push(chunk));
};

test("an event has a name and data", () => {
  assert.deepEqual(parse("event: snapshot\ndata: {}\n\n"), [{ name: "snapshot", data: "{}" }]);
});

test("without a name it is a message, without data it is nothing", () => {
  assert.deepEqual(parse("data: x\n\nevent: snapshot\n\n"), [{ name: "message", data: "x" }]);
});

test("several data lines are joined, one leading space is dropped", () => {
  assert.deepEqual(parse("data: a\ndata:b\ndata:  c\ndata\n\n"), [{ name: "message", data: "a\nb\n c\n" }]);
});

test("comments and unknown fields are passed over", () => {
  assert.deepEqual(parse(": keep-alive\n\nid: 7\nretry: 10\ndata: x\n\n"), [{ name: "message", data: "x" }]);
});

test("a byte order mark at the very start is dropped", () => {
  assert.deepEqual(parse("\uFEFFdata: x\n\n"), [{ name: "message", data: "x" }]);
});

test("an unfinished event is kept back", () => {
  const parser = new SseParser();
  assert.deepEqual(parser.push("data: x\n"), []);
  assert.deepEqual(parser.push("\n"), [{ name: "message", data: "x" }]);
});

test("every kind of line end, torn at every place, gives the same events", () => {
  const expected = [
    { name: "snapshot", data: '{"a":1}' },
    { name: "message", data: "two\nlines" },
  ];
  for (const end of ["\n", "\r", "\r\n"]) {
    const stream = [":hi", "event: snapshot", 'data: {"a":1}', "", "data: two", "data: lines", "", ""].join(end);
    for (let at = 0; at <= stream.length; at += 1) {
      assert.deepEqual(parse(stream.slice(0, at), stream.slice(at)), expected, `${JSON.stringify(end)} torn at ${at}`);
    }
    assert.deepEqual(parse(...stream), expected, `${JSON.stringify(end)} by single characters`);
  }
});

test("an event without end is refused rather than kept", () => {
  const parser = new SseParser();
  parser.push("data: ");
  const chunk = "x".repeat(EVENT_CHARS_MAX / 4);
  assert.throws(() => {
    for (let pieces = 0; pieces < 6; pieces += 1) parser.push(chunk);
  }, RangeError);
});
