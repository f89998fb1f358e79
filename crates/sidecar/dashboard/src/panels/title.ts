/** Which pipeline this is, from where to where, in which state; pause and resume. */

import { act, type Context } from "../context.ts";
import { attribute, h, show, text } from "../dom/h.ts";
import { notice } from "../dom/notice.ts";
import { memberOf, onKafka, sourceOf } from "../state/origin.ts";
import type { View } from "../state/model.ts";

export class Title {
  readonly element: HTMLElement;
  private readonly name = h("h2", { class: "pipeline-name" });
  private readonly state = h("span", { class: "badge" });
  private readonly source = h("span", { class: "badge source" });
  private readonly route = h("p", { class: "route" });
  private readonly member = h("p", { class: "route member" });
  private readonly button: HTMLButtonElement;
  private view: View | null = null;

  constructor(context: Context) {
    this.button = h("button", { type: "button", class: "primary" });
    this.button.addEventListener("click", () => this.toggle(context));
    this.element = h("div", { class: "title" }, h("div", { class: "title-words" }, h("div", { class: "title-line" }, this.name, this.state, this.source), this.route, this.member), this.button);
  }

  update(view: View): void {
    this.view = view;
    const { pipeline } = view;
    text(this.name, pipeline.name);
    text(this.state, pipeline.state);
    attribute(this.state, "data-state", pipeline.state);
    text(this.source, sourceOf(pipeline));
    attribute(this.source, "data-source", onKafka(pipeline) ? "kafka" : "log");
    const member = memberOf(pipeline);
    show(this.member, member !== null);
    text(this.member, member ?? "");
    text(this.route, `${pipeline.topics.join(", ")} → ${pipeline.target}  ·  group ${pipeline.group}  ·  ${ordered(pipeline.ordering)}`);
    const paused = pipeline.state === "paused";
    show(this.button, paused || pipeline.state === "running");
    text(this.button, paused ? "Resume" : "Pause");
    attribute(this.button, "aria-label", `${paused ? "Resume" : "Pause"} pipeline ${pipeline.name}`);
  }

  private toggle(context: Context): void {
    const pipeline = this.view?.pipeline;
    if (!pipeline) return;
    const pause = pipeline.state !== "paused";
    void act(context, this.button, async () => {
      await context.api.setPaused(pipeline.name, pause);
      notice(pause ? `Pausing ${pipeline.name}` : `Resuming ${pipeline.name}`);
    });
  }
}

function ordered(ordering: string): string {
  return ordering === "unordered" ? "in no order" : `in order per ${ordering}`;
}
