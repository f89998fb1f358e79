/** The ledger of the whole pipeline. */

import { h, show, text } from "../dom/h.ts";
import { frame } from "../dom/panel.ts";
import { imbalanced, ledgerOf, signed } from "../state/ledger.ts";
import type { View } from "../state/model.ts";
import { LedgerSum } from "./ledgersum.ts";

export class LedgerPanel {
  readonly element: HTMLElement;
  private readonly sum = new LedgerSum();
  private readonly hidden = h("p", { class: "verdict", "data-off": "" });

  constructor() {
    this.element = frame("Ledger", "ledger", this.sum.element, this.hidden).element;
  }

  update({ pipeline }: View): void {
    const off = imbalanced(pipeline.partitions);
    this.sum.update(ledgerOf(pipeline.partitions));
    show(this.hidden, off.length > 0);
    text(this.hidden, off.map((one) => `${one.topic}/${one.partition}: ${signed(one.ledger.imbalance)}`).join(", "));
  }
}
