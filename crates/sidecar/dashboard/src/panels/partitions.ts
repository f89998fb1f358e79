/**
 * The heat map of lag: a cell per partition. The number stands in the cell, the shade repeats it.
 * One cell is in the tab order; the arrow keys move among them.
 */

import type { Context } from "../context.ts";
import { attribute, h, show, text } from "../dom/h.ts";
import { frame } from "../dom/panel.ts";
import { compact, count } from "../format/number.ts";
import { isMove, moved } from "../state/grid.ts";
import { LAG_STEPS, lagStep } from "../state/lag.ts";
import type { View } from "../state/model.ts";
import type { Partition } from "../wire/overview.ts";
import { PartitionDetails } from "./partition.ts";

interface Cell {
  id: string;
  element: HTMLButtonElement;
  lag: HTMLElement;
  marks: HTMLElement;
}

export class Partitions {
  readonly element: HTMLElement;
  private readonly map: HTMLElement;
  private readonly total: HTMLElement;
  private readonly hint = h("p", { class: "hint" }, "Choose a partition to see its positions, parked keys and ledger.");
  private readonly details: PartitionDetails;
  private cells: Cell[] = [];
  private pipeline = "";
  private roving = 0;
  private chosen: string | null = null;
  private view: View | null = null;

  constructor(context: Context) {
    this.map = h("div", { class: "heat", role: "group", "aria-label": "Lag by partition. Arrow keys move, Enter shows a partition.", onkeydown: (event: KeyboardEvent) => this.key(event) });
    this.details = new PartitionDetails(context, () => this.choose(null));
    this.total = h("span", { class: "label" });
    const { element, aside } = frame("Lag by partition", "partitions", this.map, scale(), this.hint, this.details.element);
    aside.append(this.total);
    this.element = element;
  }

  update(view: View): void {
    this.view = view;
    const { partitions } = view.pipeline;
    if (view.pipeline.name !== this.pipeline || !sameCells(this.cells, partitions)) this.rebuild(view);
    for (const [at, partition] of partitions.entries()) {
      const cell = this.cells[at];
      if (cell) this.draw(cell, partition, at);
    }
    text(this.total, `${count(partitions.length)} ${partitions.length === 1 ? "partition" : "partitions"}`);
    const chosen = partitions.find((partition) => idOf(partition) === this.chosen) ?? null;
    show(this.hint, chosen === null && partitions.length > 0);
    this.details.update(view.pipeline, chosen);
  }

  private rebuild(view: View): void {
    const several = new Set(view.pipeline.partitions.map((partition) => partition.topic)).size > 1;
    if (view.pipeline.name !== this.pipeline) {
      this.pipeline = view.pipeline.name;
      this.roving = 0;
      this.chosen = null;
    }
    this.roving = Math.min(this.roving, Math.max(0, view.pipeline.partitions.length - 1));
    this.cells = view.pipeline.partitions.map((partition, at) => this.cell(partition, at, several));
    this.map.replaceChildren(...this.cells.map((cell) => cell.element));
    if (this.cells.length === 0) this.map.replaceChildren(h("p", { class: "empty" }, "No partition is assigned."));
  }

  private cell(partition: Partition, at: number, several: boolean): Cell {
    const id = idOf(partition);
    const lag = h("span", { class: "cell-lag num" });
    const marks = h("span", { class: "cell-marks" });
    const name = h("span", { class: "cell-name num" }, several ? id : String(partition.partition));
    const element = h("button", { type: "button", class: "cell" }, name, lag, marks);
    element.addEventListener("click", () => this.choose(this.chosen === id ? null : id));
    element.addEventListener("focus", () => {
      this.roving = at;
      for (const [other, cell] of this.cells.entries()) attribute(cell.element, "tabindex", other === at ? "0" : "-1");
    });
    return { id, element, lag, marks };
  }

  private draw(cell: Cell, partition: Partition, at: number): void {
    text(cell.lag, compact(partition.lag));
    const marks = marksOf(partition);
    text(cell.marks, marks.short);
    attribute(cell.element, "data-step", String(lagStep(partition.lag)));
    attribute(cell.element, "data-alarm", partition.ledger.imbalance !== 0 ? "" : null);
    attribute(cell.element, "data-paused", partition.paused ? "" : null);
    attribute(cell.element, "aria-pressed", String(cell.id === this.chosen));
    attribute(cell.element, "tabindex", at === this.roving ? "0" : "-1");
    attribute(cell.element, "aria-label", `Partition ${cell.id}: lag ${count(partition.lag)}${marks.long}`);
  }

  private choose(id: string | null): void {
    const before = this.chosen;
    this.chosen = id;
    if (this.view) this.update(this.view);
    if (id === null) this.cells.find((cell) => cell.id === before)?.element.focus();
  }

  private key(event: KeyboardEvent): void {
    if (event.key === "Escape" && this.chosen !== null) {
      event.preventDefault();
      this.choose(null);
      return;
    }
    if (!isMove(event.key) || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.cells[moved(event.key, this.roving, this.cells.length, this.columns())]?.element.focus();
  }

  /** How many cells share the first row; the layout wraps as it likes. */
  private columns(): number {
    const top = this.cells[0]?.element.offsetTop;
    const next = this.cells.findIndex((cell) => cell.element.offsetTop !== top);
    return next < 0 ? this.cells.length : next;
  }
}

function idOf(partition: Partition): string {
  return `${partition.topic}/${partition.partition}`;
}

function sameCells(cells: readonly Cell[], partitions: readonly Partition[]): boolean {
  return cells.length > 0 && cells.length === partitions.length && partitions.every((partition, at) => cells[at]?.id === idOf(partition));
}

function marksOf(partition: Partition): { short: string; long: string } {
  const short: string[] = [];
  const long: string[] = [""];
  if (partition.ledger.imbalance !== 0) {
    short.push("off!");
    long.push("ledger imbalance");
  }
  if (partition.paused) {
    short.push("paused");
    long.push("paused");
  }
  if (partition.parked > 0) {
    short.push(`${compact(partition.parked)} parked`);
    long.push(`${count(partition.parked)} parked`);
  }
  return { short: short.join(", "), long: long.join(", ") };
}

function scale(): HTMLElement {
  const labels = ["0", "1+", "10+", "100+", "1k+", "10k+"];
  const steps = Array.from({ length: LAG_STEPS }, (_, step) => h("li", { "data-step": step }, labels[step] ?? ""));
  return h("ul", { class: "heat-scale num", "aria-hidden": "true" }, ...steps);
}
