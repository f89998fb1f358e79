/** One dead letter as a row of the list; on a phone the row becomes a card. */

import { attribute, h } from "../dom/h.ts";
import { count, NONE } from "../format/number.ts";
import { ago, stamp } from "../format/time.ts";
import type { DeadLetter } from "../wire/deadletters.ts";
import { keyOf } from "./selection.ts";

export interface RowEvents {
  open(letter: DeadLetter): void;
  tick(letter: DeadLetter, on: boolean): void;
}

export function row(letter: DeadLetter, ticked: boolean, now_ms: number, events: RowEvents): HTMLElement {
  const name = keyOf(letter);
  const box = h("input", { type: "checkbox", "aria-label": `Select dead letter ${name}`, checked: ticked });
  const opener = h("button", { type: "button", class: "link num", "aria-haspopup": "dialog", "aria-label": `Show dead letter ${name}` }, name);
  const element = h(
    "tr",
    { class: "letter" },
    h("td", { class: "tick" }, box),
    h("td", { class: "where" }, opener),
    h("td", { class: "why" }, h("span", { class: "badge" }, letter.class ?? "unknown"), h("span", { class: "why-text", title: reason(letter) }, reason(letter))),
    h("td", { class: "what" }, h("span", { class: "what-key", title: "Key" }, letter.key ?? "no key"), h("code", {}, letter.value_preview)),
    h("td", { class: "tries num" }, letter.attempts === null ? NONE : `${count(letter.attempts)}×`),
    h("td", { class: "when num" }, letter.last_ms === null ? NONE : h("time", { datetime: iso(letter.last_ms), title: stamp(letter.last_ms) }, ago(letter.last_ms, now_ms))),
  );
  attribute(element, "data-ticked", ticked ? "" : null);
  box.addEventListener("change", () => {
    attribute(element, "data-ticked", box.checked ? "" : null);
    events.tick(letter, box.checked);
  });
  element.addEventListener("click", (event) => {
    const target = event.target as Element;
    if (target.closest("input") || String(getSelection()) !== "") return;
    if (target.closest(".tick")) box.click();
    else events.open(letter);
  });
  return element;
}

/** Why the record is here. */
export function reason(letter: DeadLetter): string {
  return letter.error ?? "The record does not say why it is here.";
}

function iso(ms: number): string {
  const at = new Date(ms);
  return Number.isNaN(at.getTime()) ? "" : at.toISOString();
}
