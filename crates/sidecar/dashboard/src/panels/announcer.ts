/** Speaks to screen readers of what changes in any pipeline; on sight the tabs and alarms say it. */

import { h } from "../dom/h.ts";
import { Newsroom } from "../state/news.ts";
import type { Pipeline } from "../wire/overview.ts";

/** How much of the past stays to be read. */
const KEPT = 10;

export class Announcer {
  private readonly newsroom = new Newsroom();
  private readonly urgent = h("div", { role: "alert" });
  private readonly calm = h("div", { role: "status" });
  readonly element = h("div", { class: "unseen" }, this.urgent, this.calm);

  update(pipelines: readonly Pipeline[]): void {
    const { urgent, calm } = this.newsroom.take(pipelines);
    say(this.urgent, urgent);
    say(this.calm, calm);
  }
}

/** What is added to a live region is read out; what stood there is not read again. */
function say(region: HTMLElement, lines: readonly string[]): void {
  for (const line of lines) region.append(h("p", {}, line));
  while (region.childElementCount > KEPT) region.firstElementChild?.remove();
}
