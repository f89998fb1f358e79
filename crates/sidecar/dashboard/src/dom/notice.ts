/** Short messages that come and go; those about failures stay until dismissed. */

import { asProblem } from "../api/problem.ts";
import { h } from "./h.ts";

const SHOWN_MS = 6_000;

const region = h("div", { class: "notices", role: "status", "aria-live": "polite" });

export function noticeRegion(): HTMLElement {
  return region;
}

export function notice(title: string, detail = "", kind: "done" | "failed" = "done"): void {
  const dismiss = h("button", { type: "button", class: "quiet icon", "aria-label": "Dismiss" }, "×");
  const words = h("div", {}, h("strong", {}, title), detail ? h("p", {}, detail) : null);
  const element = h("div", { class: `notice ${kind}` }, words, dismiss);
  dismiss.addEventListener("click", () => element.remove());
  region.append(element);
  if (kind === "done") setTimeout(() => element.remove(), SHOWN_MS);
}

export function failed(error: unknown): void {
  const { title, detail } = asProblem(error);
  notice(title, detail, "failed");
}
