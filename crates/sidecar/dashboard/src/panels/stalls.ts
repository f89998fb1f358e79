/** What the watchdog found standing still, by name; there is no such panel while all moves. */

import { h, show, text } from "../dom/h.ts";
import { frame } from "../dom/panel.ts";
import { count } from "../format/number.ts";
import { elapsed } from "../format/time.ts";
import { byAge, keyOf, placeOf, wordsOf } from "../state/stalls.ts";
import type { View } from "../state/model.ts";
import type { Stall } from "../wire/overview.ts";

const SHOWN = 12;

interface Row {
  element: HTMLElement;
  lasted: HTMLElement;
}

export class StallsPanel {
  readonly element: HTMLElement;
  private readonly list = h("ul", { class: "stalls" });
  private readonly more = h("p", { class: "hint" });
  private readonly total = h("span", { class: "label num" });
  private rows = new Map<string, Row>();

  constructor() {
    const { element, aside } = frame("Stands still", "stalls", this.list, this.more);
    aside.append(this.total);
    this.element = element;
  }

  update({ pipeline: { stalls } }: View): void {
    show(this.element, stalls.length > 0);
    const shown = byAge(stalls).slice(0, SHOWN);
    const kept = this.rows;
    this.rows = new Map();
    for (const stall of shown) {
      const key = keyOf(stall);
      const row = kept.get(key) ?? rowOf(stall);
      text(row.lasted, `for ${elapsed(stall.lasted_s)}`);
      this.rows.set(key, row);
    }
    const elements = [...this.rows.values()].map((row) => row.element);
    if (elements.some((element, at) => this.list.children[at] !== element) || this.list.childElementCount !== elements.length) this.list.replaceChildren(...elements);
    show(this.more, stalls.length > shown.length);
    text(this.more, `And ${count(stalls.length - shown.length)} more.`);
    text(this.total, `${count(stalls.length)} ${stalls.length === 1 ? "stall" : "stalls"}`);
  }
}

function rowOf(stall: Stall): Row {
  const lasted = h("span", { class: "stall-lasted num" });
  const place = placeOf(stall);
  const record = [stall.key === null ? null : `key hash ${stall.key}`, stall.token === null ? null : `token ${stall.token}`].filter((one) => one !== null).join(", ");
  const words = h("div", { class: "stall-words" }, h("strong", {}, wordsOf(stall)), place === "" ? null : h("span", { class: "num" }, place), record === "" ? null : h("code", {}, record));
  return { element: h("li", { class: "stall" }, h("span", { class: "badge", "data-state": "paused" }, stall.kind), words, lasted), lasted };
}
