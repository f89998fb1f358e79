/** Made-up dead letters, among them some that would hurt a careless page. */

const FAILURES = [
  { class: "permanent", error: "HTTP 422 from http://127.0.0.1:8090/orders: unknown article “SKU-7781”" },
  { class: "transient", error: "HTTP 500 from http://127.0.0.1:8090/orders after 8 attempts: payment provider did not answer within 2 s" },
  { class: "panic", error: "handler panicked: index out of bounds: the len is 3 but the index is 3" },
  { class: "timeout", error: "deadline of 5 s exceeded while waiting for the response headers" },
  { class: "permanent", error: "value is no JSON: expected `,` or `}` at line 1 column 18 <script>alert(1)</script>" },
];

export function letter(pipeline, partition, offset, at_ms) {
  const failure = FAILURES[(offset * 7 + partition) % FAILURES.length];
  const key = offset % 9 === 4 ? null : offset % 11 === 3 ? '<img src=x onerror="alert(1)">' : `customer-${(offset * 37) % 1000}`;
  const value = JSON.stringify({ order: `o-${100_000 + offset}`, customer: key, items: [{ sku: `SKU-${7000 + offset}`, quantity: 1 + (offset % 4) }], total_cents: 1999 + offset * 13, note: offset % 5 === 0 ? "Grüße 👋 </pre><b>bold?</b>" : "" });
  const untold = offset % 47 === 0 ? { token: null, error: null, class: null, attempts: null, first_ms: null, last_ms: null, origin: null } : {};
  return {
    partition,
    offset,
    key,
    value_preview: value.slice(0, 120),
    token: `${pipeline}-${partition}-${offset}-5f0c2a`,
    error: failure.error,
    class: failure.class,
    attempts: failure.class === "permanent" ? 1 : 8,
    first_ms: at_ms - 21_000,
    last_ms: at_ms,
    origin: { topic: pipeline, partition, offset: offset * 41 + 7 },
    value,
    ...untold,
  };
}

export function full(one) {
  if (one.origin === null) return { ...one, headers: [] };
  return {
    ...one,
    headers: [
      ["content-type", "application/json"],
      ["traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
      ["seawall-error", one.error],
      ["seawall-class", one.class],
      ["seawall-attempts", String(one.attempts)],
      ["seawall-origin", `${one.origin.topic}/${one.origin.partition}/${one.origin.offset}`],
    ],
  };
}
