/** One pipeline that moves like one of Seawall's, and what can happen to it. */

import { letter } from "./letters.mjs";

const wave = (t, period, phase = 0) => Math.sin((t / period + phase) * 2 * Math.PI);

export class Pipeline {
  constructor(shape) {
    Object.assign(this, { source: "log", member: null, joining: null, failed: null, stalls: [], generation: 3, paused: false, letters: [], nextLetter: 1 }, shape);
    this.totals = { fetched: 0, acked: 0, retried: 0, dead_lettered: 0, deferred: 0, refused: 0, panics: 0, duplicates: 0, timeouts: 0 };
    this.refusals = { rate: 0, concurrency: 0, adaptive: 0, breaker: 0 };
    this.claims = { store: "embedded", claimed: 0, done: 0, granted: 0, held: 0, duplicates: 0, fenced: 0 };
    this.limits = { rate: { per_second: shape.rate * 1.5, burst: 200 }, concurrency: { limit: shape.limit } };
    this.all = Array.from({ length: shape.parts }, (_, partition) => ({
      topic: shape.name, partition, paused: false, watermark: 40_000 + partition * 911, lag: partition === shape.hot ? 12_400 : shape.parts > 6 ? [0, 3, 41, 0, 318, 12, 0, 0, 2_140, 57, 5, 790][partition] : partition * 2, parked: 0,
      ledger: { fetched: 0, acked: 0, dead_lettered: 0 },
    }));
    this.partitions = shape.joining ? [] : this.all;
  }

  /** The group gives it these of its partitions, in a new generation. */
  assign(numbers) {
    this.partitions = this.all.filter((one) => numbers.includes(one.partition));
    this.generation += 1;
  }

  /** It has no place in its group, or none yet. */
  waits(reason) {
    this.joining = reason;
    this.assign([]);
  }

  joins(numbers) {
    this.joining = null;
    this.assign(numbers);
  }

  fails(reason) {
    this.failed = reason;
    this.assign([]);
    this.stalls = [];
    this.used = 0;
  }

  step(t, at_ms) {
    for (const stall of this.stalls) stall.lasted_s += 1;
    if (this.failed || this.joining) return;
    this.rebalance?.(t);
    for (const one of this.partitions) this.stepPartition(one, t, at_ms);
    const { totals } = this;
    this.used = this.paused || this.partitions.length === 0 ? 0 : Math.round(this.limit * (0.62 + 0.3 * wave(t, 47) * this.stress));
    this.used = Math.min(this.used, this.limits.concurrency.limit);
    if (this.paused) return;
    if (this.stress > 0.5) {
      this.refusals.rate += Math.round(3 + 3 * wave(t, 30));
      this.refusals.concurrency += t % 3 === 0 ? 2 : 0;
      this.refusals.adaptive += t % 5 === 0 ? 4 : 0;
    }
    totals.refused = Object.values(this.refusals).reduce((sum, one) => sum + one, 0);
    totals.panics += t % 41 === 7 ? this.panicky : 0;
    totals.timeouts += t % 23 === 0 ? this.panicky : 0;
    totals.duplicates += t % 9 === 0 ? 1 : 0;
    Object.assign(this.claims, { claimed: this.used, done: Math.min(100_000, totals.acked), granted: totals.acked + totals.retried, held: Math.floor(t / 11), duplicates: totals.duplicates, fenced: Math.floor(t / 200) });
  }

  stepPartition(one, t, at_ms) {
    const arrive = Math.round((this.rate / this.parts) * (1 + 0.25 * wave(t, 60, one.partition / 7)) * (0.9 + Math.random() * 0.2));
    if (this.paused || one.paused) {
      one.lag += arrive;
      return;
    }
    const handled = Math.min(one.lag + arrive, Math.round(arrive * (one.partition === this.hot ? 0.98 + 0.1 * wave(t, 120) : 1 + 0.01 * wave(t, 50, one.partition / 5))));
    const dead = Math.random() < 0.006 * this.stress ? 1 : 0;
    const parkedBefore = one.parked;
    one.parked = one.partition % 4 === 1 ? Math.max(0, Math.round(6 + 6 * wave(t, 25, one.partition / 3))) : 0;
    const acked = Math.max(0, handled - dead);
    one.lag += arrive - handled;
    one.watermark += acked + dead;
    one.ledger.acked += acked;
    one.ledger.dead_lettered += dead;
    one.ledger.fetched += acked + dead + one.parked - parkedBefore;
    this.totals.acked += acked;
    this.totals.dead_lettered += dead;
    this.totals.retried += Math.round(acked * 0.05 * this.stress * (1 + wave(t, 33)));
    if (dead) this.addLetter(one.partition, at_ms);
  }

  addLetter(partition, at_ms) {
    this.letters.unshift(letter(this.name, partition, this.nextLetter++, at_ms));
  }

  view(t) {
    const inFlight = this.used ?? 0;
    const held = Math.max(1, this.partitions.length);
    const each = this.partitions.map((_, at) => Math.floor(inFlight / held) + (at < inFlight % held ? 1 : 0));
    const slow = 0.006 * (1 + 0.4 * wave(t, 70)) * (1 + this.stress);
    const parked = this.partitions.reduce((sum, one) => sum + one.parked, 0);
    const partitions = this.partitions.map((one, at) => ({
      topic: one.topic, partition: one.partition, generation: this.generation, paused: this.paused || one.paused,
      watermark: one.watermark, next: one.watermark + each[at] + one.parked, end: one.watermark + one.lag, lag: one.lag,
      in_flight: each[at], parked: one.parked, parked_keys: Math.ceil(one.parked / 3),
      ledger: { fetched: one.ledger.fetched + each[at], acked: one.ledger.acked, dead_lettered: one.ledger.dead_lettered, deferred: 0, parked: one.parked, in_flight: each[at], imbalance: this.imbalanced && one.partition === 2 ? 2 : 0 },
    }));
    return {
      name: this.name, source: this.source, member: this.member && { ...this.member, joined: !this.joining && !this.failed }, topics: [this.name], group: `seawall-${this.name}`, ordering: this.ordering,
      state: this.failed ? "failed" : this.joining ? "joining" : this.paused ? "paused" : "running", fault: this.failed ?? this.joining, target: this.target,
      totals: { ...this.totals, fetched: (this.totals.fetched = Math.max(this.totals.fetched, partitions.reduce((sum, one) => sum + one.ledger.fetched, 0))) },
      in_flight: inFlight, lanes: { ready: Math.round(inFlight * 1.7), busy: inFlight, parked: Math.ceil(parked / 3), overflowed: this.stress > 0.5 ? 2 : 0 },
      latency_seconds: this.failed || this.joining ? { p50: null, p90: null, p99: null, max: null } : { p50: slow, p90: slow * 2.4, p99: slow * (7 + 2 * wave(t, 19)), max: slow * (22 + 12 * Math.random()) },
      queue: { records: inFlight * 9, bytes: inFlight * 9 * 843, records_max: 10_000, bytes_max: 64 * 1024 * 1024 },
      guard: {
        mode: this.mode, rate: this.limits.rate, concurrency: { limit: this.limits.concurrency.limit, used: inFlight, waiting: this.stress > 0.5 ? Math.round(8 + 8 * wave(t, 14)) : 0 },
        adaptive: this.stress > 0.5 ? { limit: Math.round(this.limit * (0.7 + 0.2 * wave(t, 80))), min: 4, max: this.limit } : null,
        breaker: this.failed ? null : { state: this.stress > 0.5 && t % 60 > 52 ? "half_open" : "closed", failure_ratio: 0.06 * this.stress * (1 + wave(t, 33)), opens: Math.floor((t + 30) / 60) * (this.stress > 0.5 ? 1 : 0) },
        refusals: { ...this.refusals },
      },
      partitions,
      stalls: this.stalls.map((stall) => ({ ...stall })),
      dead_letters: { topic: `${this.name}.dead`, count: this.letters.length },
      claims: this.claiming ? { ...this.claims } : null,
    };
  }
}
