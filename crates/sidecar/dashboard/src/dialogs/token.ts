/** Asks for the bearer token that a Seawall off the loopback demands. */

import { dropToken, keepToken, token } from "../api/token.ts";
import type { Context } from "../context.ts";
import { h } from "../dom/h.ts";
import { field, FormDialog, InputError } from "./dialog.ts";

export class TokenDialog {
  private readonly input = h("input", { type: "password", autocomplete: "off", spellcheck: "false", autofocus: true });
  private readonly dialog: FormDialog;

  constructor(context: Context, given: () => void) {
    this.dialog = new FormDialog(context, {
      title: "Token needed",
      confirm: "Connect",
      body: [
        h("p", {}, "This Seawall answers only with its admin token. The token stays in this tab and is forgotten with it."),
        field("Admin token", this.input),
      ],
      submit: async () => {
        const value = this.input.value.trim();
        if (value === "") throw new InputError("The token is empty.");
        // A header carries visible ASCII; anything else was mistyped or pasted with its surroundings.
        if (!/^[\x21-\x7e]+$/.test(value)) throw new InputError("The token holds a space or a character that a header cannot carry.");
        keepToken(value);
        this.input.value = "";
        given();
      },
    });
  }

  open(): void {
    if (this.dialog.element.open) return;
    const refused = token() !== null;
    dropToken();
    this.dialog.open();
    if (refused) this.dialog.refuse("Seawall refused the token that was given.");
  }
}
