/** A world that moves like a Seawall: four pipelines, of which one waits for its cluster and one has failed. */

import { Pipeline } from "./pipeline.mjs";
import { Producer } from "./producer.mjs";

const AWAY = 'cluster "billing" does not answer: no broker of kafka-0.billing.internal:9092, kafka-1.billing.internal:9092 can be reached: connection refused (os error 111)';
const REFUSED =
  'cluster "events-eu": the group “seawall-audit-export” refuses this member: GROUP_AUTHORIZATION_FAILED: Group authorization failed.\n' +
  "The principal User:CN=seawall-edge-eu-west-1a.internal.example needs the right READ on group seawall-audit-export and READ on topic audit-export; asked of kafka-1.events-eu.internal.example:9093 (broker 1)";

/** Every twenty seconds another member joins or leaves, and partitions change hands. */
function comesAndGoes(t) {
  if (t % 20 === 0) this.assign(t % 40 === 0 ? [0, 1, 2, 3, 4, 5] : [0, 2, 5]);
}

function stalled() {
  const nowhere = { worker: null, topic: null, partition: null, offset: null, key: null, token: null };
  return [
    { ...nowhere, kind: "partition", topic: "payments", partition: 2, offset: 41_822, lasted_s: 61 },
    { ...nowhere, kind: "handler", worker: 1, topic: "payments", partition: 2, offset: 41_822, key: "9c1f02ab77de4e05", token: "payments-2-41822-5f0c2a", lasted_s: 83 },
  ];
}

export class World {
  constructor({ imbalance = false, now_ms = Date.now() } = {}) {
    this.t = 0;
    this.accepted = 0;
    this.started_ms = now_ms;
    const shapes = [
      { name: "orders", parts: 12, hot: 7, rate: 1180, limit: 256, stress: 1, panicky: 1, mode: "wait", ordering: "key", target: "http://127.0.0.1:8090/orders", claiming: true, imbalanced: imbalance },
      { name: "payments", source: "events-eu", member: { client_id: "seawall-payments", instance_id: "payments-0" }, rebalance: comesAndGoes, parts: 6, hot: -1, rate: 240, limit: 64, stress: 0.15, panicky: 0, mode: "shed", ordering: "partition", target: "http://payments.internal:8080/v2/events", claiming: true, stalls: stalled() },
      { name: "invoices", source: "billing", member: { client_id: "seawall", instance_id: null }, parts: 4, hot: -1, rate: 60, limit: 32, stress: 0, panicky: 0, mode: "wait", ordering: "key", target: "http://invoices.internal/events", claiming: false, joining: AWAY },
      { name: "audit-export", source: "events-eu", member: { client_id: "seawall", instance_id: null }, parts: 3, hot: 0, rate: 30, limit: 16, stress: 0, panicky: 0, mode: "wait", ordering: "unordered", target: "http://audit.internal/ingest", claiming: false },
    ];
    this.pipelines = shapes.map((shape) => new Pipeline(shape));
    this.producer = new Producer();
    this.pipeline("audit-export").fails(REFUSED);
    for (let at = 0; at < 130; at += 1) this.pipelines[0].addLetter(at % 12, now_ms - (130 - at) * 47_000);
  }

  step(at_ms) {
    this.t += 1;
    this.accepted += 1400;
    this.producer.step(this.t, at_ms);
    for (const pipeline of this.pipelines) pipeline.step(this.t, at_ms);
  }

  overview(at_ms) {
    return {
      at_ms, version: "0.1.0", uptime_s: 93_784 + (at_ms - this.started_ms) / 1000,
      panics_total: this.pipelines.reduce((sum, one) => sum + one.totals.panics, 0),
      pipelines: this.pipelines.map((one) => one.view(this.t)),
      producers: [this.producer.view()],
      ingest: { accepted: this.accepted, refused: { rate: Math.floor(this.t / 3), concurrency: 0, full: 0, invalid: 4 } },
    };
  }

  pipeline(name) {
    return this.pipelines.find((one) => one.name === name);
  }
}
