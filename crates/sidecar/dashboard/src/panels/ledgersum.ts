/** The conservation sum, written out so that one can check it: fetched = acknowledged + … */

import { attribute, h, text } from "../dom/h.ts";
import { count } from "../format/number.ts";
import { signed } from "../state/ledger.ts";
import type { Ledger } from "../wire/overview.ts";

const TERMS = [
  { field: "fetched", label: "Fetched", sign: "" },
  { field: "acked", label: "Acknowledged", sign: "=" },
  { field: "dead_lettered", label: "Dead-lettered", sign: "+" },
  { field: "deferred", label: "To retry topics", sign: "+" },
  { field: "parked", label: "Parked", sign: "+" },
  { field: "in_flight", label: "In flight", sign: "+" },
] as const;

export class LedgerSum {
  private readonly cells = TERMS.map(() => h("td", { class: "num" }));
  private readonly verdict = h("p", { class: "verdict" });
  readonly element: HTMLElement;

  constructor() {
    const rows = TERMS.map(({ label, sign }, at) => h("tr", {}, h("td", { class: "sign", "aria-hidden": "true" }, sign), h("th", { scope: "row" }, label), this.cells[at] ?? null));
    this.element = h("div", { class: "ledger" }, h("table", { "aria-label": "Ledger" }, h("tbody", {}, ...rows)), this.verdict);
  }

  update(ledger: Ledger): void {
    for (const [at, { field }] of TERMS.entries()) {
      const cell = this.cells[at];
      if (cell) text(cell, count(ledger[field]));
    }
    const off = ledger.imbalance !== 0;
    text(this.verdict, off ? `Off by ${signed(ledger.imbalance)}` : "Balanced");
    attribute(this.verdict, "data-off", off ? "" : null);
  }
}
