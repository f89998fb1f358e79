/** Where records are between fetch and settlement: the lanes and the queue before them. */

import { facts } from "../dom/facts.ts";
import { h } from "../dom/h.ts";
import { meter } from "../dom/meter.ts";
import { frame } from "../dom/panel.ts";
import { bytes, compact, count } from "../format/number.ts";
import type { View } from "../state/model.ts";

export class LanesPanel {
  readonly element: HTMLElement;
  private readonly lanes = facts({ busy: "Busy", ready: "Ready", parked: "Parked", overflowed: "Overflowed" }, "facts four");
  private readonly records = meter("Queue, records");
  private readonly bytes = meter("Queue, bytes");

  constructor() {
    this.element = frame("Lanes and queue", "lanes", h("div", { class: "stack" }, this.lanes.element, this.records.element, this.bytes.element)).element;
  }

  update({ pipeline: { lanes, queue } }: View): void {
    this.lanes.set({ busy: count(lanes.busy), ready: count(lanes.ready), parked: count(lanes.parked), overflowed: count(lanes.overflowed) });
    this.records.set(queue.records, queue.records_max, `${compact(queue.records)} of ${compact(queue.records_max)}`);
    this.bytes.set(queue.bytes, queue.bytes_max, `${bytes(queue.bytes)} of ${bytes(queue.bytes_max)}`);
  }
}
