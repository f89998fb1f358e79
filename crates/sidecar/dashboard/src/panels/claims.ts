/** The claims: what keeps a second delivery from a second effect. */

import { facts } from "../dom/facts.ts";
import { h, show, text } from "../dom/h.ts";
import { frame } from "../dom/panel.ts";
import { count } from "../format/number.ts";
import type { View } from "../state/model.ts";

export class ClaimsPanel {
  readonly element: HTMLElement;
  private readonly store = h("span", { class: "badge" });
  private readonly none = h("p", { class: "empty" }, "This pipeline claims nothing: a record that is delivered twice is handled twice.");
  private readonly facts = facts({
    claimed: "Held now",
    done: "Done, remembered",
    granted: "Granted",
    held: "Met held",
    duplicates: "Met done",
    fenced: "Fenced off",
  });

  constructor() {
    const { element, aside } = frame("Claims", "claims", this.facts.element, this.none);
    aside.append(this.store);
    this.element = element;
  }

  update({ pipeline: { claims } }: View): void {
    show(this.none, claims === null);
    show(this.store, claims !== null);
    show(this.facts.element, claims !== null);
    if (!claims) return;
    text(this.store, claims.store);
    this.facts.set({
      claimed: count(claims.claimed),
      done: count(claims.done),
      granted: count(claims.granted),
      held: count(claims.held),
      duplicates: count(claims.duplicates),
      fenced: count(claims.fenced),
    });
  }
}
