/** A titled box of the page. */

import { type Child, h } from "./h.ts";

let serial = 0;

export interface Panel {
  readonly element: HTMLElement;
}

export interface Frame {
  element: HTMLElement;
  /** The right side of the title line. */
  aside: HTMLElement;
  body: HTMLElement;
}

export function frame(title: string, area: string, ...children: Child[]): Frame {
  const id = `panel-${(serial += 1)}`;
  const aside = h("div", { class: "panel-aside" });
  const body = h("div", { class: "panel-body" }, ...children);
  const heading = h("h2", { id, class: "panel-title" }, title);
  const element = h("section", { class: `panel area-${area}`, "aria-labelledby": id }, h("header", { class: "panel-head" }, heading, aside), body);
  return { element, aside, body };
}
