/** What was counted since Seawall started, beside what the headline and the ledger say. */

import { facts } from "../dom/facts.ts";
import { frame } from "../dom/panel.ts";
import { count } from "../format/number.ts";
import type { View } from "../state/model.ts";

export class TotalsPanel {
  readonly element: HTMLElement;
  private readonly facts = facts({
    retried: "Retried",
    dead_lettered: "Dead-lettered",
    deferred: "To retry topics",
    refused: "Refused",
    duplicates: "Duplicates",
    timeouts: "Timed out",
    panics: "Panics",
  });

  constructor() {
    this.element = frame("Since start", "totals", this.facts.element).element;
  }

  update({ pipeline: { totals } }: View): void {
    this.facts.set({
      retried: count(totals.retried),
      dead_lettered: count(totals.dead_lettered),
      deferred: count(totals.deferred),
      refused: count(totals.refused),
      duplicates: count(totals.duplicates),
      timeouts: count(totals.timeouts),
      panics: count(totals.panics),
    });
  }
}
