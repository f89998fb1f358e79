/** The guard: how full, how fast, what it refuses and why, and the breaker. */

import type { Context } from "../context.ts";
import { LimitsDialog } from "../dialogs/limits.ts";
import { facts } from "../dom/facts.ts";
import { attribute, h, show, text } from "../dom/h.ts";
import { meter } from "../dom/meter.ts";
import { frame } from "../dom/panel.ts";
import { compact, count, NONE, percent, rate } from "../format/number.ts";
import type { View } from "../state/model.ts";
import type { Guard } from "../wire/overview.ts";

const LIMITS = ["rate", "concurrency", "adaptive", "breaker"] as const;

export class GuardPanel {
  readonly element: HTMLElement;
  private readonly mode = h("span", { class: "badge" });
  private readonly permits = meter("Permits");
  private readonly adaptive = meter("Adaptive limit", false);
  private readonly facts = facts({ waiting: "Waiting", rate: "Rate limit", opens: "Breaker opened", failures: "Failures seen" });
  private readonly breaker = h("span", { class: "badge" });
  private readonly rows = LIMITS.map((name) => ({ name, total: h("td", { class: "num" }), speed: h("td", { class: "num" }), row: h("tr", {}) }));
  private view: View | null = null;

  constructor(context: Context) {
    const dialog = new LimitsDialog(context);
    const adjust = h("button", { type: "button", class: "small" }, "Adjust limits");
    adjust.addEventListener("click", () => this.view && dialog.open(this.view.pipeline, adjust));
    for (const { name, total, speed, row } of this.rows) row.append(h("th", { scope: "row" }, name), total, speed);
    const head = h("tr", {}, h("th", { scope: "col" }, "Refused by"), h("th", { scope: "col", class: "num" }, "in all"), h("th", { scope: "col", class: "num" }, "per s"));
    const refusals = h("table", { class: "small-table" }, h("thead", {}, head), h("tbody", {}, ...this.rows.map(({ row }) => row)));
    const breakerLine = h("div", { class: "line" }, h("span", { class: "label" }, "Breaker"), this.breaker);
    const body = h("div", { class: "stack" }, this.permits.element, this.adaptive.element, breakerLine, this.facts.element, refusals);
    const { element, aside } = frame("Guard", "guard", body);
    aside.append(this.mode, adjust);
    this.element = element;
  }

  update(view: View): void {
    this.view = view;
    const { guard } = view.pipeline;
    text(this.mode, guard.mode);
    const { used, limit } = guard.concurrency;
    this.permits.set(used, limit, `${count(used)} of ${count(limit)}`);
    show(this.adaptive.element, guard.adaptive !== null);
    if (guard.adaptive) this.adaptive.set(guard.adaptive.limit, guard.adaptive.max, `${count(guard.adaptive.limit)} within ${count(guard.adaptive.min)}–${count(guard.adaptive.max)}`);
    this.drawBreaker(guard);
    this.facts.set({
      waiting: count(guard.concurrency.waiting),
      rate: guard.rate ? `${compact(guard.rate.per_second)}/s, burst ${compact(guard.rate.burst)}` : "none",
      opens: guard.breaker ? `${count(guard.breaker.opens)}×` : NONE,
      failures: guard.breaker ? percent(guard.breaker.failure_ratio) : NONE,
    });
    for (const { name, total, speed, row } of this.rows) {
      const perSecond = view.history.recent((sample) => sample.refusals[name]);
      text(total, count(guard.refusals[name]));
      text(speed, rate(perSecond));
      attribute(row, "data-active", perSecond ? "" : null);
    }
  }

  private drawBreaker({ breaker }: Guard): void {
    text(this.breaker, breaker ? breaker.state.replace("_", " ") : "none");
    attribute(this.breaker, "data-state", breaker ? { closed: "running", half_open: "paused", open: "failed" }[breaker.state] : null);
  }
}
