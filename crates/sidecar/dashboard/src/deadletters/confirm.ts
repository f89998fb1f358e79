/** The two things that can be done with dead letters, each confirmed. */

import type { Context } from "../context.ts";
import { FormDialog, field, InputError, wholeOf } from "../dialogs/dialog.ts";
import { h, show, text } from "../dom/h.ts";
import { notice } from "../dom/notice.ts";
import { count } from "../format/number.ts";
import type { DeadLetterChoice } from "../wire/deadletters.ts";
import { announce } from "./progress.ts";

export interface Order {
  pipeline: string;
  topic: string;
  choice: DeadLetterChoice;
  /** How many dead letters are in the topic now. */
  total: number;
}

const RATE_DEFAULT = "50";
const RATE_MAX = 100_000;

export class RedriveDialog {
  private readonly words = h("p", {});
  private readonly rate = h("input", { type: "text", inputmode: "numeric", autocomplete: "off", value: RATE_DEFAULT });
  private readonly dialog: FormDialog;
  private order: Order | null = null;

  constructor(context: Context, done: (running: boolean) => void) {
    this.dialog = new FormDialog(context, {
      title: "Redrive",
      confirm: "Redrive",
      body: [this.words, field("Records per second at most", this.rate, "Keep it below what the target can spare beside its live load.")],
      submit: async () => {
        if (!this.order) return;
        const rate = wholeOf(this.rate, "Records per second", 1, RATE_MAX);
        const progress = await context.api.redrive(this.order.pipeline, this.order.choice, rate);
        if (!progress.running) announce(progress);
        done(progress.running);
      },
    });
    this.dialog.element.classList.add("redrive");
  }

  open(order: Order): void {
    this.order = order;
    text(this.words, `Out of ${order.topic}, back to the topic of origin, with the token kept. What fails again returns here.`);
    this.dialog.open(`Redrive ${named(order)}?`);
  }
}

export class PurgeDialog {
  private readonly words = h("p", {});
  private readonly typed = h("input", { type: "text", autocomplete: "off", spellcheck: "false", autocapitalize: "off" });
  private readonly typedField = field("Type the name of the pipeline to confirm", this.typed);
  private readonly dialog: FormDialog;
  private order: Order | null = null;

  constructor(context: Context, done: () => void) {
    this.dialog = new FormDialog(context, {
      title: "Purge",
      confirm: "Purge for good",
      danger: true,
      body: [this.words, this.typedField],
      submit: async () => {
        const order = this.order;
        if (!order) return;
        if ("all" in order.choice && this.typed.value.trim() !== order.pipeline) {
          this.typed.focus();
          throw new InputError(`Type “${order.pipeline}” to purge all of its dead letters.`);
        }
        const purged = (await context.api.purge(order.pipeline, order.choice)).count;
        notice(`Purged ${count(purged)} ${purged === 1 ? "dead letter" : "dead letters"}`);
        done();
      },
    });
    this.dialog.element.classList.add("purge");
  }

  open(order: Order): void {
    this.order = order;
    this.typed.value = "";
    text(this.words, `Out of ${order.topic}, for good: what is purged cannot be brought back.`);
    show(this.typedField, "all" in order.choice);
    this.dialog.open(`Purge ${named(order)}?`);
  }
}

function named(order: Order): string {
  const all = "all" in order.choice;
  const size = "all" in order.choice ? order.total : order.choice.ids.length;
  if (size === 1) return "1 dead letter";
  return `${all ? "all " : ""}${count(size)} dead letters`;
}
