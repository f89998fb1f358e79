/** The six figures that one looks at first. */

import { attribute, h, text } from "../dom/h.ts";
import { compact, count, rate } from "../format/number.ts";
import { latency } from "../format/time.ts";
import { lagOf } from "../state/lag.ts";
import type { View } from "../state/model.ts";

interface Figure {
  element: HTMLElement;
  value: HTMLElement;
  note: HTMLElement;
}

function figure(label: string): Figure {
  const value = h("dd", { class: "figure-value num" });
  const note = h("dd", { class: "figure-note num" });
  return { element: h("div", { class: "figure" }, h("dt", {}, label), value, note), value, note };
}

export class Headline {
  private readonly acked = figure("Acknowledged/s");
  private readonly latency = figure("Latency p99");
  private readonly lag = figure("Lag");
  private readonly flight = figure("In flight");
  private readonly parked = figure("Parked");
  private readonly dead = figure("Dead letters");
  readonly element = h(
    "dl",
    { class: "headline" },
    ...[this.acked, this.latency, this.lag, this.flight, this.parked, this.dead].map((one) => one.element),
  );

  update({ pipeline, history }: View): void {
    const { partitions, guard } = pipeline;
    set(this.acked, rate(history.recent((sample) => sample.acked)), `${count(pipeline.totals.acked)} in all`);
    set(this.latency, latency(pipeline.latency_seconds.p99 || null), `p50 ${latency(pipeline.latency_seconds.p50 || null)}`);
    const worst = partitions.reduce<(typeof partitions)[number] | null>((most, one) => (most && most.lag >= one.lag ? most : one), null);
    const lagging = worst && worst.lag > 0 ? `worst ${worst.topic}/${worst.partition}: ${compact(worst.lag)}` : "all caught up";
    set(this.lag, compact(lagOf(partitions)), worst ? lagging : "no partition is held");
    set(this.flight, count(pipeline.in_flight), `${count(guard.concurrency.used)} of ${count(guard.concurrency.limit)} permits`);
    const keys = partitions.reduce((sum, one) => sum + one.parked_keys, 0);
    const parked = partitions.reduce((sum, one) => sum + one.parked, 0);
    set(this.parked, compact(parked), keys === 0 ? "no key waits" : `behind ${count(keys)} failed ${keys === 1 ? "key" : "keys"}`, parked > 0 ? "warn" : null);
    set(this.dead, compact(pipeline.dead_letters.count), `in ${pipeline.dead_letters.topic}`, pipeline.dead_letters.count > 0 ? "danger" : null);
  }
}

function set(one: Figure, value: string, note: string, tone: string | null = null): void {
  text(one.value, value);
  text(one.note, note);
  attribute(one.element, "data-tone", tone);
}
