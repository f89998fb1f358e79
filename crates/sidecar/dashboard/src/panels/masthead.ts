/** The top line: is Seawall there, which one is it, for how long, has anything panicked. */

import { attribute, h, show, text } from "../dom/h.ts";
import { count } from "../format/number.ts";
import { clock, elapsed } from "../format/time.ts";
import type { Model } from "../state/model.ts";
import { applyTheme, nextTheme, theme } from "../theme.ts";

export class Masthead {
  readonly element: HTMLElement;
  private readonly state = h("span", { class: "label" });
  private readonly link: HTMLElement;
  private readonly again: HTMLElement;
  private readonly version = h("dd", { class: "num" });
  private readonly uptime = h("dd", { class: "num" });
  private readonly panics = h("dd", { class: "num" });
  private readonly panicsBox: HTMLElement;
  private readonly facts: HTMLElement;

  constructor(retry: () => void) {
    this.link = h("div", { class: "link", role: "status", "data-state": "connecting" }, h("span", { class: "dot", "aria-hidden": "true" }), this.state);
    this.again = h("button", { type: "button", class: "quiet", onclick: retry }, "Try now");
    this.panicsBox = h("div", { class: "panics" }, h("dt", {}, "Panics"), this.panics);
    this.facts = h(
      "dl",
      { class: "masthead-facts" },
      h("div", { class: "version" }, h("dt", {}, "Version"), this.version),
      h("div", {}, h("dt", {}, "Up"), this.uptime),
      this.panicsBox,
    );
    const mark = h("h1", { class: "wordmark" }, "Seawall");
    this.element = h("header", { class: "masthead" }, mark, this.link, this.again, this.facts, themeButton());
  }

  update(model: Model, now_ms: number): void {
    const stale = model.staleSince(now_ms);
    const { kind } = model.connection;
    const words = connectionWords(model, stale);
    text(this.state, words);
    // The seconds of a stale page count on sight, not through a screen reader.
    attribute(this.link, "data-state", kind === "live" && stale === null ? "live" : kind === "live" ? "stale" : kind);
    attribute(this.link, "title", model.connection.kind === "waiting" ? model.connection.reason : null);
    show(this.again, kind === "waiting" || kind === "locked");
    const { snapshot } = model;
    show(this.facts, snapshot !== null);
    if (!snapshot) return;
    text(this.version, snapshot.version);
    text(this.uptime, elapsed(snapshot.uptime_s));
    text(this.panics, count(snapshot.panics_total));
    attribute(this.panicsBox, "data-alarm", snapshot.panics_total > 0 ? "" : null);
  }
}

function connectionWords(model: Model, stale: number | null): string {
  const since = stale === null ? "" : `, stale since ${clock(stale)}`;
  switch (model.connection.kind) {
    case "live":
      return stale === null ? "Live" : `Silent${since}`;
    case "connecting":
      return `Connecting${since}`;
    case "waiting":
      return `${model.connection.reason}${since}`;
    case "locked":
      return `Token needed${since}`;
  }
}

function themeButton(): HTMLElement {
  const button = h("button", { type: "button", class: "quiet theme" });
  const label = () => {
    text(button, { auto: "Auto", light: "Light", dark: "Dark" }[theme()]);
    attribute(button, "aria-label", `Colours: ${theme()}. Change`);
    attribute(button, "data-theme-now", theme());
  };
  button.addEventListener("click", () => {
    applyTheme(nextTheme(theme()));
    label();
  });
  label();
  return button;
}
