/** A list of names and values whose values change in place. */

import { h, text } from "./h.ts";

export interface Facts<Name extends string> {
  element: HTMLElement;
  set(values: Record<Name, string>): void;
}

export function facts<Name extends string>(labels: Record<Name, string>, layout = "facts"): Facts<Name> {
  const cells = new Map<string, HTMLElement>();
  const element = h("dl", { class: layout });
  for (const [name, label] of Object.entries<string>(labels)) {
    const value = h("dd", { class: "num" });
    cells.set(name, value);
    element.append(h("div", {}, h("dt", {}, label), value));
  }
  return {
    element,
    set(values) {
      for (const [name, value] of Object.entries<string>(values)) {
        const cell = cells.get(name);
        if (cell) text(cell, value);
      }
    },
  };
}
