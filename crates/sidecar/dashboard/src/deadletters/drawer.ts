/** The drawer that shows one dead letter whole: its story, its headers, its value. */

import type { Context } from "../context.ts";
import { Unauthorized } from "../api/client.ts";
import { asProblem } from "../api/problem.ts";
import { facts } from "../dom/facts.ts";
import { fill, h, text } from "../dom/h.ts";
import { count, NONE } from "../format/number.ts";
import { stamp } from "../format/time.ts";
import type { DeadLetter, DeadLetterDetail, DeadLetterId } from "../wire/deadletters.ts";
import { reason } from "./row.ts";
import { readable } from "./value.ts";

export interface DrawerActions {
  redrive(id: DeadLetterId): void;
  purge(id: DeadLetterId): void;
}

export class Drawer {
  private readonly context: Context;
  private readonly heading = h("h2", { id: "drawer-title" });
  private readonly error = h("p", { class: "letter-error" });
  private readonly content = h("div", { class: "drawer-content", "aria-live": "polite" });
  private readonly facts = facts({ class: "Class", attempts: "Attempts", first: "First failed", last: "Last failed", origin: "Came from", key: "Key", token: "Token" }, "facts lines");
  private readonly element: HTMLDialogElement;
  private shown: DeadLetterId | null = null;

  constructor(context: Context, actions: DrawerActions) {
    this.context = context;
    const closing = h("button", { type: "button", class: "quiet icon", "aria-label": "Close", onclick: () => this.close() }, "×");
    const redrive = h("button", { type: "button", class: "primary", onclick: () => this.shown && actions.redrive(this.shown) }, "Redrive");
    const purge = h("button", { type: "button", class: "danger", onclick: () => this.shown && actions.purge(this.shown) }, "Purge");
    const head = h("header", { class: "drawer-head" }, this.heading, closing);
    const foot = h("footer", { class: "drawer-foot" }, redrive, purge);
    const body = h("div", { class: "drawer-body" }, this.error, this.facts.element, this.content);
    this.element = h("dialog", { class: "drawer", "aria-labelledby": "drawer-title" }, h("div", { class: "drawer-frame" }, head, body, foot));
    this.element.addEventListener("click", (event) => {
      if (event.target === this.element) this.close();
    });
    document.body.append(this.element);
  }

  async open(pipeline: string, letter: DeadLetter): Promise<void> {
    this.shown = letter;
    this.summarise(letter);
    fill(this.content, [h("p", { class: "hint" }, "Loading headers and value…")]);
    if (!this.element.open) this.element.showModal();
    try {
      const detail = await this.context.api.deadLetter(pipeline, letter);
      if (this.shown !== letter) return;
      this.summarise(detail);
      fill(this.content, [headersTable(detail), ...valueBlock(detail)]);
    } catch (error) {
      if (this.shown !== letter) return;
      if (error instanceof Unauthorized) this.context.unlock();
      const problem = asProblem(error);
      fill(this.content, [h("p", { class: "form-error", role: "alert" }, `${problem.title}${problem.detail ? `: ${problem.detail}` : ""}`)]);
    }
  }

  close(): void {
    this.element.close();
  }

  private summarise(letter: DeadLetter): void {
    text(this.heading, `Dead letter ${letter.partition}/${letter.offset}`);
    text(this.error, reason(letter));
    this.facts.set({
      class: letter.class ?? NONE,
      attempts: count(letter.attempts),
      first: stamp(letter.first_ms),
      last: stamp(letter.last_ms),
      origin: letter.origin ? `${letter.origin.topic}/${letter.origin.partition} at ${count(letter.origin.offset)}` : NONE,
      key: letter.key ?? "none",
      token: letter.token ?? NONE,
    });
  }
}

function headersTable({ headers }: DeadLetterDetail): HTMLElement {
  const rows = headers.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value)));
  return h("section", {}, h("h3", {}, `Headers (${headers.length})`), h("div", { class: "scroll" }, h("table", { class: "headers" }, h("tbody", {}, ...rows))));
}

function valueBlock({ value, value_base64 }: DeadLetterDetail): HTMLElement[] {
  const title = value === undefined ? "Value (not text, shown as Base64)" : `Value (${count(new TextEncoder().encode(value).length)} bytes)`;
  const shown = value === undefined ? (value_base64 ?? "") : readable(value);
  return [h("section", {}, h("h3", {}, title), h("pre", { class: "value", tabindex: 0, "aria-label": "Value" }, shown))];
}
