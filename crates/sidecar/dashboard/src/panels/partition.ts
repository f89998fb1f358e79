/** One partition in depth: positions, what waits, its ledger, and its own pause. */

import { act, type Context } from "../context.ts";
import { facts } from "../dom/facts.ts";
import { attribute, h, show, text } from "../dom/h.ts";
import { notice } from "../dom/notice.ts";
import { count } from "../format/number.ts";
import type { Partition, Pipeline } from "../wire/overview.ts";
import { LedgerSum } from "./ledgersum.ts";

export class PartitionDetails {
  readonly element: HTMLElement;
  private readonly heading = h("h3", {});
  private readonly state = h("span", { class: "badge" });
  private readonly button = h("button", { type: "button" });
  private readonly facts = facts({
    watermark: "Watermark",
    next: "Next to fetch",
    end: "End of log",
    lag: "Lag",
    flight: "In flight",
    parked: "Parked",
    keys: "Parked keys",
    generation: "Generation",
  });
  private readonly ledger = new LedgerSum();
  private now: { pipeline: Pipeline; partition: Partition } | null = null;

  constructor(context: Context, close: () => void) {
    this.button.addEventListener("click", () => this.toggle(context));
    const closing = h("button", { type: "button", class: "quiet icon", "aria-label": "Close the partition", onclick: close }, "×");
    const head = h("div", { class: "details-head" }, this.heading, this.state, h("span", { class: "spring" }), this.button, closing);
    this.element = h("section", { class: "details", "aria-label": "Partition" }, head, this.facts.element, this.ledger.element);
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") close();
    });
    this.element.hidden = true;
  }

  update(pipeline: Pipeline, partition: Partition | null): void {
    show(this.element, partition !== null);
    this.now = partition && { pipeline, partition };
    if (!partition) return;
    text(this.heading, `${partition.topic}/${partition.partition}`);
    text(this.state, partition.paused ? "paused" : "flowing");
    attribute(this.state, "data-state", partition.paused ? "paused" : "running");
    text(this.button, partition.paused ? "Resume partition" : "Pause partition");
    this.facts.set({
      watermark: count(partition.watermark),
      next: count(partition.next),
      end: count(partition.end),
      lag: count(partition.lag),
      flight: count(partition.in_flight),
      parked: count(partition.parked),
      keys: count(partition.parked_keys),
      generation: count(partition.generation),
    });
    this.ledger.update(partition.ledger);
  }

  private toggle(context: Context): void {
    if (!this.now) return;
    const { pipeline, partition } = this.now;
    const topic = pipeline.topics.length > 1 ? partition.topic : null;
    void act(context, this.button, async () => {
      await context.api.setPaused(pipeline.name, !partition.paused, { topic, partition: partition.partition });
      notice(`${partition.paused ? "Resuming" : "Pausing"} ${partition.topic}/${partition.partition}`);
    });
  }
}
