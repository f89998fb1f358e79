/** What must not be overlooked: a pipeline that has failed or cannot join its group, a ledger that does not add up, panics. */

import { fill, h } from "../dom/h.ts";
import { count } from "../format/number.ts";
import { imbalanced, signed } from "../state/ledger.ts";
import type { View } from "../state/model.ts";
import type { Pipeline } from "../wire/overview.ts";

interface Alarm {
  kind: "danger" | "warn";
  title: string;
  detail: string;
  /** What follows from it. */
  hint?: string;
  /** The page's announcer tells of it already. */
  announced?: boolean;
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
      alarms.map(({ kind, title, detail, hint, announced }) => {
        const words = h("div", { class: "alarm-words" }, h("p", { class: "alarm-why" }, detail), hint ? h("p", { class: "alarm-hint" }, hint) : null);
        return h("div", { class: `alarm ${kind}`, role: kind === "danger" && !announced ? "alert" : "note", "aria-label": title }, h("strong", {}, title), words);
      }),
    );
  }
}

function alarmsOf({ pipeline, history }: View): Alarm[] {
  const alarms: Alarm[] = [];
  const standing = standingOf(pipeline);
  if (standing) alarms.push(standing);
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

function standingOf({ state, fault }: Pipeline): Alarm | null {
  const announced = true;
  const detail = fault ?? "Seawall gives no reason.";
  if (state === "failed") return { kind: "danger", title: "Pipeline failed", detail, hint: "It fetches nothing any more. Mend the cause, then start Seawall again.", announced };
  if (state === "joining") return { kind: "warn", title: "Waits to join its group", detail, hint: "Seawall tries again by itself. Until it has joined, nothing is fetched.", announced };
  return fault === null ? null : { kind: "danger", title: "Fault", detail };
}
