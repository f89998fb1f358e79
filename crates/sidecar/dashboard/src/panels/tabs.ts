/** One tab per pipeline; the arrow keys move among them. */

import { attribute, h, text } from "../dom/h.ts";
import { compact, rate } from "../format/number.ts";
import { lagOf } from "../state/lag.ts";
import { imbalanced } from "../state/ledger.ts";
import type { Model } from "../state/model.ts";
import type { Pipeline } from "../wire/overview.ts";

interface Tab {
  element: HTMLElement;
  state: HTMLElement;
  figures: HTMLElement;
}

export class Tabs {
  readonly element: HTMLElement;
  private readonly tabs = new Map<string, Tab>();
  private readonly choose: (name: string) => void;

  constructor(choose: (name: string) => void) {
    this.choose = choose;
    this.element = h("div", { class: "tabs", role: "tablist", "aria-label": "Pipelines", onkeydown: (event: KeyboardEvent) => this.key(event) });
  }

  update(model: Model): void {
    const pipelines = model.snapshot?.pipelines ?? [];
    const selected = model.view()?.pipeline.name;
    const names = pipelines.map((pipeline) => pipeline.name);
    if (names.join("\n") !== [...this.tabs.keys()].join("\n")) this.rebuild(names);
    for (const pipeline of pipelines) {
      const tab = this.tabs.get(pipeline.name);
      if (!tab) continue;
      const chosen = pipeline.name === selected;
      attribute(tab.element, "aria-selected", String(chosen));
      attribute(tab.element, "tabindex", chosen ? "0" : "-1");
      const { tone, words } = standing(pipeline);
      attribute(tab.element, "data-state", tone);
      text(tab.state, words);
      const acked = model.history(pipeline.name).recent((sample) => sample.acked);
      text(tab.figures, `${rate(acked)}/s · lag ${compact(lagOf(pipeline.partitions))}`);
    }
  }

  private rebuild(names: readonly string[]): void {
    this.tabs.clear();
    for (const name of names) {
      const state = h("span", { class: "tab-state" });
      const figures = h("span", { class: "tab-figures num" });
      const element = h(
        "button",
        { type: "button", class: "tab", role: "tab", id: `tab-${this.tabs.size}`, "aria-controls": "pipeline", onclick: () => this.choose(name) },
        h("span", { class: "dot", "aria-hidden": "true" }),
        h("span", { class: "tab-name" }, name),
        state,
        figures,
      );
      this.tabs.set(name, { element, state, figures });
    }
    this.element.replaceChildren(...[...this.tabs.values()].map((tab) => tab.element));
  }

  private key(event: KeyboardEvent): void {
    const names = [...this.tabs.keys()];
    const at = names.findIndex((name) => this.tabs.get(name)?.element === document.activeElement);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const to = event.key === "Home" ? 0 : event.key === "End" ? names.length - 1 : step === undefined || at < 0 ? -1 : (at + step + names.length) % names.length;
    const name = names[to];
    if (name === undefined) return;
    event.preventDefault();
    this.choose(name);
    this.tabs.get(name)?.element.focus();
  }
}

/** The worst that is to be said of it. */
function standing(pipeline: Pipeline): { tone: Pipeline["state"] | "stalled"; words: string } {
  if (pipeline.state !== "failed" && imbalanced(pipeline.partitions).length > 0) return { tone: "failed", words: "imbalance" };
  if (pipeline.state === "running" && pipeline.stalls.length > 0) return { tone: "stalled", words: "stalled" };
  return { tone: pipeline.state, words: pipeline.state };
}
