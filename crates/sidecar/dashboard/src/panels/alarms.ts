/** What must not be overlooked: a failed pipeline, a ledger that does not add up, panics. */

import { fill, h } from "../dom/h.ts";
import { count } from "../format/number.ts";
import { imbalanced, signed } from "../state/ledger.ts";
import type { View } from "../state/model.ts";

interface Alarm {
  kind: "danger" | "warn";
  title: string;
  detail: string;
}

export class Alarms {
  readonly element = h("div", { class: "alarms" });
  private shown = "";

  update(view: View): void {
    const alarms = alarmsOf(view);
    const key = JSON.stringify(alarms);
    if (key === this.shown) return;
    this.shown = key;
    fill(
      this.element,
      alarms.map(({ kind, title, detail }) => h("div", { class: `alarm ${kind}`, role: kind === "danger" ? "alert" : "note" }, h("strong", {}, title), h("span", {}, detail))),
    );
  }
}

function alarmsOf({ pipeline, history }: View): Alarm[] {
  const alarms: Alarm[] = [];
  if (pipeline.fault !== null) alarms.push({ kind: "danger", title: pipeline.state === "failed" ? "Pipeline failed" : "Fault", detail: pipeline.fault });
  const off = imbalanced(pipeline.partitions);
  if (off.length > 0) {
    const where = off.slice(0, 4).map((one) => `${one.topic}/${one.partition} by ${signed(one.ledger.imbalance)}`);
    const more = off.length > 4 ? ` and ${off.length - 4} more` : "";
    alarms.push({ kind: "danger", title: "Ledger imbalance", detail: `Off: ${where.join(", ")}${more}. Records are unaccounted for: this is a bug of Seawall.` });
  }
  if (pipeline.totals.panics > 0) {
    const fresh = history.growth((sample) => sample.panics);
    const recent = fresh > 0 ? `, ${count(fresh)} of them while this page watched` : "";
    const noun = pipeline.totals.panics === 1 ? "handler panic" : "handler panics";
    alarms.push({ kind: "warn", title: `${count(pipeline.totals.panics)} ${noun}`, detail: `since Seawall started${recent}. Each stands in the log with its backtrace.` });
  }
  return alarms;
}
