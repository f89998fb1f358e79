/** HTTP ingest, which all pipelines share. */

import { facts } from "../dom/facts.ts";
import { h, show } from "../dom/h.ts";
import { frame } from "../dom/panel.ts";
import { count, rate } from "../format/number.ts";
import type { Model } from "../state/model.ts";

export class IngestPanel {
  readonly element: HTMLElement;
  private readonly facts = facts(
    { accepted: "Accepted", speed: "Accepted per s", rate: "Refused: rate", concurrency: "Refused: busy", full: "Refused: full", invalid: "Refused: invalid" },
  );

  constructor() {
    const { element, aside } = frame("HTTP ingest", "ingest", this.facts.element);
    aside.append(h("span", { class: "label" }, "all pipelines"));
    this.element = element;
  }

  update(model: Model): void {
    const ingest = model.snapshot?.ingest;
    show(this.element, ingest !== undefined);
    if (!ingest) return;
    const { refused } = ingest;
    this.facts.set({
      accepted: count(ingest.accepted),
      speed: rate(model.ingestRate),
      rate: count(refused.rate),
      concurrency: count(refused.concurrency),
      full: count(refused.full),
      invalid: count(refused.invalid),
    });
  }
}
