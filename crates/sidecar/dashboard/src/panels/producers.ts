/** The recoverable producers: which way records take to their cluster, and what waits on this machine. */

import { facts } from "../dom/facts.ts";
import { attribute, fill, h, show, text } from "../dom/h.ts";
import { meter } from "../dom/meter.ts";
import { frame } from "../dom/panel.ts";
import { bytes, count } from "../format/number.ts";
import { clock } from "../format/time.ts";
import type { Model } from "../state/model.ts";
import { eventOf, leftOf, progressOf, wayOf } from "../state/way.ts";
import type { Producer } from "../wire/overview.ts";

/** The latest events that are shown. */
const EVENTS = 5;
const STATES = { direct: "running", buffering: "paused", spilling: "failed", replaying: "joining" } as const;
const BREAKERS = { closed: "running", half_open: "paused", open: "failed" } as const;
const USES = { ingest: "what ingest takes", letters: "dead letters" } as const;

export class ProducersPanel {
  private readonly grid = h("div", { class: "grid" });
  readonly element = h("div", { class: "producers", hidden: true }, this.grid);
  private readonly boxes = new Map<string, Box>();

  update(model: Model): void {
    // A Seawall from before there were any tells of none.
    const producers = model.snapshot?.producers ?? [];
    show(this.element, producers.length > 0);
    for (const [name, box] of this.boxes) {
      if (producers.some((producer) => producer.name === name)) continue;
      box.element.remove();
      this.boxes.delete(name);
    }
    for (const producer of producers) {
      let box = this.boxes.get(producer.name);
      if (!box) {
        box = new Box(producer);
        this.boxes.set(producer.name, box);
        this.grid.append(box.element);
      }
      box.update(producer);
    }
  }
}

class Box {
  readonly element: HTMLElement;
  private readonly state = h("span", { class: "badge" });
  private readonly way = h("p", { class: "way" });
  private readonly trouble = h("p", { class: "way trouble", role: "alert" });
  private readonly memory = meter("Memory");
  private readonly spill = meter("Spill on disk");
  private readonly replay = meter("Replayed", false);
  private readonly sinks = h("ul", { class: "sinks", "aria-label": "Clusters, the most preferred first" });
  private readonly facts = facts({ switches: "Switches", full: "Refused: full", timed_out: "No receipt in time", refused: "Refused for good" });
  private readonly events = h("ul", { class: "events" });
  private shown = "";

  constructor({ name, use }: Producer) {
    const body = h("div", { class: "stack" }, this.way, this.trouble, this.memory.element, this.spill.element, this.replay.element, this.sinks, this.facts.element, this.events);
    const { element, aside } = frame(`Producer ${name}`, "producer", body);
    aside.append(h("span", { class: "label" }, USES[use]), this.state);
    this.element = element;
  }

  update(producer: Producer): void {
    const { state, memory, spill, totals } = producer;
    text(this.state, state);
    attribute(this.state, "data-state", STATES[state]);
    text(this.way, wayOf(producer));
    show(this.trouble, spill.trouble !== null);
    text(this.trouble, spill.trouble === null ? "" : `The spill is in trouble: ${spill.trouble}`);
    this.memory.set(memory.bytes, memory.bytes_max, `${bytes(memory.bytes)} of ${bytes(memory.bytes_max)}, ${count(memory.records)} records`);
    this.spill.set(spill.bytes, spill.bytes_max, `${bytes(spill.bytes)} of ${bytes(spill.bytes_max)}`);
    const { done, all } = progressOf(producer);
    this.replay.set(done, all, leftOf(producer));
    this.facts.set({ switches: count(totals.switches), full: count(totals.full), timed_out: count(totals.timed_out), refused: count(totals.refused) });
    this.drawLists(producer);
  }

  /** They are made anew only when they differ. */
  private drawLists({ sinks, active, events }: Producer): void {
    const latest = events.slice(-EVENTS).reverse();
    const key = JSON.stringify([sinks, active, latest]);
    if (key === this.shown) return;
    this.shown = key;
    fill(
      this.sinks,
      sinks.map(({ name, breaker, records }) => {
        const badge = h("span", { class: "badge", "data-state": BREAKERS[breaker] }, `breaker ${breaker.replace("_", " ")}`);
        const takes = name === active ? h("span", { class: "label" }, "takes the records") : null;
        const ways = facts({ direct: "Direct", buffer: "After a wait", spill: "To disk", replay: "From disk" });
        ways.set({ direct: count(records.direct), buffer: count(records.buffer), spill: count(records.spill), replay: count(records.replay) });
        return h("li", {}, h("p", { class: "sink" }, h("strong", {}, name), badge, takes), ways.element);
      }),
    );
    fill(
      this.events,
      latest.map((event) => h("li", {}, h("span", { class: "num" }, clock(event.at_ms)), " ", eventOf(event))),
    );
  }
}
