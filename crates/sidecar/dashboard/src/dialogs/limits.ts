/** Changes a pipeline's limits while it runs. */

import { act, type Context } from "../context.ts";
import { h, show, text } from "../dom/h.ts";
import { notice } from "../dom/notice.ts";
import type { Limits, LimitsPatch } from "../wire/limits.ts";
import type { Pipeline } from "../wire/overview.ts";
import { field, FormDialog, InputError, wholeOf } from "./dialog.ts";

const RATE_MAX = 10_000_000;
const CONCURRENCY_MAX = 1_000_000;

function numeric(placeholder: string): HTMLInputElement {
  return h("input", { type: "text", inputmode: "numeric", autocomplete: "off", placeholder });
}

export class LimitsDialog {
  private readonly context: Context;
  private readonly concurrency = numeric("");
  private readonly rate = numeric("no limit");
  private readonly burst = numeric("a tenth of the rate");
  private readonly adaptive = h("p", {});
  private readonly dialog: FormDialog;
  private name = "";
  private limits: Limits | null = null;

  constructor(context: Context) {
    this.context = context;
    this.dialog = new FormDialog(context, {
      title: "Adjust limits",
      confirm: "Apply",
      body: [
        h("p", {}, "Takes effect at once and lasts until the configuration is loaded again."),
        field("Deliveries in flight at most", this.concurrency),
        this.adaptive,
        field("Deliveries per second", this.rate),
        field("Burst, deliveries at once", this.burst),
      ],
      submit: async () => {
        if (!this.limits) return;
        const patch = this.patch(this.limits);
        if (Object.keys(patch).length === 0) throw new InputError("Nothing differs from the limits in force.");
        await context.api.setLimits(this.name, patch);
        notice(`Limits of ${this.name} changed`);
      },
    });
  }

  /** Opens with the limits as they are set: with an adaptive limit, the one in force is another. */
  open(pipeline: Pipeline, opener: HTMLButtonElement): void {
    void act(this.context, opener, async () => {
      this.limits = await this.context.api.limits(pipeline.name);
      this.name = pipeline.name;
      this.fill(this.limits, pipeline.guard.adaptive);
      this.dialog.open(`Adjust limits of ${pipeline.name}`);
    });
  }

  private fill({ concurrency, rate }: Limits, adaptive: Pipeline["guard"]["adaptive"]): void {
    this.concurrency.value = String(concurrency.limit);
    this.rate.value = rate ? String(rate.per_second) : "";
    this.burst.value = rate?.burst ? String(rate.burst) : "";
    show(this.adaptive, adaptive !== null);
    if (adaptive) text(this.adaptive, `Below it the adaptive limit, now ${adaptive.limit}, moves from ${adaptive.min} to ${adaptive.max}.`);
  }

  /** Only what was changed, so that a limit someone else moved meanwhile stays. */
  private patch(before: Limits): LimitsPatch {
    const patch: LimitsPatch = {};
    const limit = wholeOf(this.concurrency, "Deliveries in flight", 1, CONCURRENCY_MAX);
    const per_second = typed(this.rate, "Deliveries per second");
    const burst = typed(this.burst, "Burst");
    if (limit !== before.concurrency.limit) patch.concurrency = { limit };
    if (per_second === null && before.rate) throw new InputError("A rate cannot be taken away here; change the configuration and load it again.");
    if (per_second === null && burst !== null) throw new InputError("A burst needs a rate.");
    if (per_second !== null && per_second !== before.rate?.per_second) patch.rate = { per_second };
    if (burst !== null && burst !== before.rate?.burst) patch.rate = { ...patch.rate, burst };
    return patch;
  }
}

/** Null where the field is empty. */
function typed(input: HTMLInputElement, label: string): number | null {
  return input.value.trim() === "" ? null : wholeOf(input, label, 1, RATE_MAX);
}
