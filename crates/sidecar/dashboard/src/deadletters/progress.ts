/** How the redrive of the pipeline stands, asked for while one runs. */

import type { Api } from "../api/client.ts";
import { h, show, text } from "../dom/h.ts";
import { notice } from "../dom/notice.ts";
import { count } from "../format/number.ts";
import type { RedriveProgress } from "../wire/deadletters.ts";

const ASK_MS = 1_000;

export class ProgressLine {
  readonly element = h("p", { class: "redriving", role: "status", hidden: true });
  private readonly api: Api;
  private watched = "";

  constructor(api: Api) {
    this.api = api;
  }

  /** Looks whether a redrive of `pipeline` runs, and stays with it until it ends. */
  async watch(pipeline: string): Promise<void> {
    this.watched = pipeline;
    show(this.element, false);
    for (let seen = false; this.watched === pipeline; seen = true) {
      const progress = await this.api.redriveProgress(pipeline);
      if (this.watched !== pipeline) return;
      if (!progress.running) {
        if (seen) announce(progress);
        break;
      }
      text(this.element, `Redriving: ${count(progress.redriven)} of ${count(progress.count)}${progress.failed > 0 ? `, ${count(progress.failed)} failed` : ""}`);
      show(this.element, true);
      await new Promise((resolve) => setTimeout(resolve, ASK_MS));
    }
    if (this.watched === pipeline) show(this.element, false);
  }
}

/** Says how a redrive ended. */
export function announce({ redriven, failed, error }: RedriveProgress): void {
  const done = `Redrove ${count(redriven)} ${redriven === 1 ? "dead letter" : "dead letters"}`;
  if (failed === 0 && error === null) notice(done);
  else notice(`${done}, ${count(failed)} failed`, error ?? "", "failed");
}
