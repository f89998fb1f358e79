/** A bar of used out of limit, with the figures beside it: the colour only repeats what they say. */

import { attribute, h, text } from "./h.ts";

export interface Meter {
  element: HTMLElement;
  set(used: number, limit: number, figures: string): void;
}

/** `scarce`: a bar that is nearly full is a warning; without it a full bar is as good as another. */
export function meter(label: string, scarce = true): Meter {
  const fillBar = h("span", { class: "meter-fill" });
  const bar = h("div", { class: "meter-bar", role: "meter", "aria-label": label, "aria-valuemin": 0 }, fillBar);
  const figures = h("span", { class: "num" });
  const element = h("div", { class: "meter" }, h("div", { class: "meter-line" }, h("span", { class: "label" }, label), figures), bar);
  return {
    element,
    set(used, limit, words) {
      const share = limit > 0 ? Math.min(1, Math.max(0, used / limit)) : 0;
      text(figures, words);
      fillBar.style.setProperty("inline-size", `${(share * 100).toFixed(1)}%`);
      attribute(element, "data-level", !scarce ? "calm" : share >= 0.98 ? "full" : share >= 0.8 ? "high" : "calm");
      attribute(bar, "aria-valuemax", String(limit));
      attribute(bar, "aria-valuenow", String(Math.min(used, limit)));
      attribute(bar, "aria-valuetext", words);
    },
  };
}
