/** The dead letters of the pipeline: search, tick, open, redrive, purge. */

import { Unauthorized } from "../api/client.ts";
import { asProblem } from "../api/problem.ts";
import { act, type Context } from "../context.ts";
import { attribute, h, show, text } from "../dom/h.ts";
import { frame } from "../dom/panel.ts";
import { count } from "../format/number.ts";
import { ago } from "../format/time.ts";
import type { View } from "../state/model.ts";
import type { DeadLetterChoice } from "../wire/deadletters.ts";
import { PurgeDialog, RedriveDialog } from "./confirm.ts";
import { Drawer } from "./drawer.ts";
import { FIRST_SIZE, Pages } from "./pages.ts";
import { ProgressLine } from "./progress.ts";
import { row } from "./row.ts";
import { Selection } from "./selection.ts";

const TYPING_MS = 250;
/** The list follows the count by itself at most this often. */
const FOLLOW_MS = 3_000;

export class DeadLettersPanel {
  readonly element: HTMLElement;
  private readonly context: Context;
  private readonly pages: Pages;
  private readonly progress: ProgressLine;
  private readonly selection = new Selection();
  private readonly drawer: Drawer;
  private readonly redriveDialog: RedriveDialog;
  private readonly purgeDialog: PurgeDialog;
  private readonly where = h("span", { class: "label num letters-where" });
  private readonly search = h("input", { type: "search", placeholder: "Search key, error, value", "aria-label": "Search dead letters", autocomplete: "off", spellcheck: "false" });
  private readonly redrive = h("button", { type: "button" });
  private readonly purge = h("button", { type: "button", class: "danger" });
  private readonly changed = h("button", { type: "button", class: "small" }, "The list changed: reload");
  private readonly more = h("button", { type: "button" }, "Load more");
  private readonly all = h("input", { type: "checkbox", "aria-label": "Select all that are shown" });
  private readonly rows = h("tbody", {});
  private readonly table: HTMLElement;
  private readonly empty = h("p", { class: "empty" });
  private view: View | null = null;
  private loadedFor: { pipeline: string; count: number; at_ms: number } | null = null;
  private typing = 0;

  constructor(context: Context) {
    this.context = context;
    this.pages = new Pages(context.api);
    this.progress = new ProgressLine(context.api);
    const done = () => {
      this.drawer.close();
      this.selection.clear();
      void this.load();
    };
    this.redriveDialog = new RedriveDialog(context, (running) => {
      done();
      if (running) this.watchRedrive();
    });
    this.purgeDialog = new PurgeDialog(context, done);
    this.drawer = new Drawer(context, {
      redrive: (id) => this.order(this.redriveDialog, { ids: [{ partition: id.partition, offset: id.offset }] }),
      purge: (id) => this.order(this.purgeDialog, { ids: [{ partition: id.partition, offset: id.offset }] }),
    });
    this.table = h("table", { class: "letters" }, this.head(), this.rows);
    const { element, aside } = frame("Dead letters", "deadletters", this.progress.element, this.table, this.empty, h("div", { class: "more" }, this.more));
    aside.append(this.where, this.changed, this.search, this.redrive, this.purge);
    this.element = element;
    this.listen();
  }

  update(view: View): void {
    const switched = view.pipeline.name !== this.view?.pipeline.name;
    this.view = view;
    if (switched) this.reset();
    this.drawTools();
    for (const time of this.rows.querySelectorAll("time")) text(time, ago(Date.parse(time.dateTime), view.at_ms));
    const loaded = this.loadedFor;
    if (loaded === null || loaded.count === view.pipeline.dead_letters.count) return show(this.changed, false);
    const quiet = this.selection.size === 0 && this.pages.items.length <= FIRST_SIZE && !this.rows.contains(document.activeElement) && document.querySelector("dialog[open]") === null;
    if (quiet && Date.now() - loaded.at_ms > FOLLOW_MS) void this.load();
    show(this.changed, !quiet);
  }

  private listen(): void {
    this.redrive.addEventListener("click", () => this.order(this.redriveDialog, this.choice()));
    this.purge.addEventListener("click", () => this.order(this.purgeDialog, this.choice()));
    this.changed.addEventListener("click", () => void this.load());
    this.more.addEventListener("click", () => this.loadMore());
    this.all.addEventListener("change", () => {
      for (const letter of this.pages.items) this.selection.set(letter, this.all.checked);
      this.draw();
    });
    this.search.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.selection.clear(); // nothing may be ticked that the search hides
      this.typing = window.setTimeout(() => void this.load(), TYPING_MS);
      this.draw();
    });
  }

  private reset(): void {
    this.search.value = "";
    this.selection.clear();
    this.pages.clear();
    this.loadedFor = null;
    this.draw();
    void this.load();
    this.watchRedrive();
  }

  private watchRedrive(): void {
    // A failed look is no news: the list itself reports a Seawall that does not answer.
    void this.progress.watch(this.view?.pipeline.name ?? "").catch(() => {});
  }

  /** What the buttons mean: what is ticked, else what the search shows, else all. */
  private choice(): DeadLetterChoice {
    if (this.selection.size > 0) return { ids: this.selection.ids() };
    if (this.searching()) return { ids: this.pages.items.map(({ partition, offset }) => ({ partition, offset })) };
    return { all: true };
  }

  private searching(): boolean {
    return this.search.value.trim() !== "";
  }

  private order(dialog: RedriveDialog | PurgeDialog, choice: DeadLetterChoice): void {
    const pipeline = this.view?.pipeline;
    if (!pipeline || this.redrive.getAttribute("aria-disabled") === "true") return;
    dialog.open({ pipeline: pipeline.name, topic: pipeline.dead_letters.topic, choice, total: pipeline.dead_letters.count });
  }

  private async load(): Promise<void> {
    const pipeline = this.view?.pipeline;
    if (!pipeline) return;
    this.loadedFor = { pipeline: pipeline.name, count: pipeline.dead_letters.count, at_ms: Date.now() };
    try {
      if (await this.pages.reload(pipeline.name, this.search.value.trim())) this.draw();
    } catch (error) {
      if (error instanceof Unauthorized) return this.context.unlock();
      const { title, detail } = asProblem(error);
      this.pages.clear();
      this.draw();
      text(this.empty, detail ? `${title}: ${detail}` : title);
    }
  }

  private loadMore(): void {
    void act(this.context, this.more, async () => {
      const pipeline = this.view?.pipeline.name;
      if (pipeline && (await this.pages.more(pipeline, this.search.value.trim()))) this.draw();
    });
  }

  private draw(): void {
    const now_ms = this.view?.at_ms ?? Date.now();
    const events = {
      open: (letter: (typeof this.pages.items)[number]) => void this.drawer.open(this.view?.pipeline.name ?? "", letter),
      tick: (letter: (typeof this.pages.items)[number], on: boolean) => {
        this.selection.set(letter, on);
        this.drawTools();
      },
    };
    this.rows.replaceChildren(...this.pages.items.map((letter) => row(letter, this.selection.has(letter), now_ms, events)));
    const none = this.pages.items.length === 0;
    show(this.table, !none);
    show(this.empty, none);
    text(this.empty, this.searching() ? "No dead letter matches." : "No dead letters. Every record was handled or is still on its way.");
    show(this.more, this.pages.next !== null);
    this.drawTools();
  }

  private drawTools(): void {
    const total = this.view?.pipeline.dead_letters.count ?? 0;
    const chosen = this.selection.size;
    text(this.where, `${count(total)} in ${this.view?.pipeline.dead_letters.topic ?? ""}`);
    const shown = this.pages.items.length;
    const which = chosen > 0 ? count(chosen) : this.searching() ? `${count(shown)} shown` : "all";
    text(this.redrive, `Redrive ${which}…`);
    text(this.purge, `Purge ${which}…`);
    for (const button of [this.redrive, this.purge]) attribute(button, "aria-disabled", total === 0 || (this.searching() && shown === 0) ? "true" : null);
    this.all.checked = chosen > 0 && this.pages.items.every((letter) => this.selection.has(letter));
    this.all.indeterminate = chosen > 0 && !this.all.checked;
  }

  private head(): HTMLElement {
    const columns = ["Partition/offset", "Error", "Key and value", "Attempts", "Last failed"];
    return h("thead", {}, h("tr", {}, h("th", { scope: "col", class: "tick" }, this.all), ...columns.map((column) => h("th", { scope: "col" }, column))));
  }
}
