/** A modal <dialog> with a form: Esc and Cancel close it, the browser keeps and returns the focus. */

import { asProblem } from "../api/problem.ts";
import { Unauthorized } from "../api/client.ts";
import type { Context } from "../context.ts";
import { whileBusy } from "../dom/busy.ts";
import { type Child, h, show, text } from "../dom/h.ts";
import { count } from "../format/number.ts";

let serial = 0;

export interface FormDialogOptions {
  title: string;
  confirm: string;
  danger?: boolean;
  body: readonly Child[];
  submit(): Promise<void>;
}

export class FormDialog {
  readonly element: HTMLDialogElement;
  readonly confirm: HTMLButtonElement;
  private readonly heading: HTMLElement;
  private readonly error = h("p", { class: "form-error", role: "alert", hidden: true });

  constructor(context: Context, options: FormDialogOptions) {
    const id = `dialog-${(serial += 1)}`;
    this.heading = h("h2", { id }, options.title);
    this.confirm = h("button", { type: "submit", class: options.danger ? "danger" : "primary" }, options.confirm);
    const cancel = h("button", { type: "button", onclick: () => this.element.close() }, "Cancel");
    const form = h("form", { novalidate: true }, this.heading, ...options.body, this.error, h("div", { class: "dialog-buttons" }, cancel, this.confirm));
    this.element = h("dialog", { "aria-labelledby": id, class: "dialog" }, form);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void whileBusy(this.confirm, () => this.attempt(context, options));
    });
    document.body.append(this.element);
  }

  open(title?: string): void {
    if (title !== undefined) text(this.heading, title);
    show(this.error, false);
    this.element.showModal();
  }

  refuse(words: string): void {
    text(this.error, words);
    show(this.error, true);
  }

  private async attempt(context: Context, options: FormDialogOptions): Promise<void> {
    try {
      await options.submit();
      this.element.close();
    } catch (error) {
      if (error instanceof Unauthorized) return context.unlock();
      if (error instanceof InputError) return this.refuse(error.message);
      const { title, detail } = asProblem(error);
      this.refuse(detail ? `${title}: ${detail}` : title);
    }
  }
}

/** Bad input of a form: said in the form, no call is made. */
export class InputError extends Error {}

export function field(label: string, input: HTMLElement, hint = ""): HTMLElement {
  return h("label", { class: "field" }, h("span", {}, label), input, hint ? h("small", {}, hint) : null);
}

/** A whole number of an input, within bounds; says what would be right. */
export function wholeOf(input: HTMLInputElement, label: string, min: number, max: number): number {
  const value = Number(input.value);
  if (input.value.trim() === "" || !Number.isInteger(value) || value < min || value > max) {
    input.focus();
    throw new InputError(`${label} is “${input.value}”; a whole number from ${count(min)} to ${count(max)} is needed`);
  }
  return value;
}
