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
import { unassigned } from "../state/origin.ts";
import type { Partition } from "../wire/overview.ts";
import { PartitionDetails } from "./partition.ts";

interface Cell {
  id: string;
  element: HTMLButtonElement;
  name: HTMLElement;
  lag: HTMLElement;
  marks: HTMLElement;
}

const CHOOSE = "Choose a partition to see its positions, parked keys and ledger.";

export class Partitions {
  readonly element: HTMLElement;
  private readonly map: HTMLElement;
  private readonly none = h("p", { class: "empty" });
  private readonly scale = scale();
  private readonly total: HTMLElement;
  private readonly hint = h("p", { class: "hint" }, CHOOSE);
  private readonly details: PartitionDetails;
  private cells: Cell[] = [];
  private pipeline = "";
  /** The cell in the tab order. */
  private roving: string | null = null;
  private chosen: string | null = null;
  private view: View | null = null;

  constructor(context: Context) {
    this.map = h("div", { class: "heat", role: "group", tabindex: -1, "aria-label": "Lag by partition. Arrow keys move, Enter shows a partition.", onkeydown: (event: KeyboardEvent) => this.key(event) });
    this.details = new PartitionDetails(context, () => this.choose(null));
    this.total = h("span", { class: "label" });
    const { element, aside } = frame("Lag by partition", "partitions", this.map, this.none, this.scale, this.hint, this.details.element);
    aside.append(this.total);
    this.element = element;
  }

  update(view: View): void {
    this.view = view;
    const { partitions } = view.pipeline;
    if (view.pipeline.name !== this.pipeline) this.begin(view.pipeline.name);
    const focused = this.element.contains(document.activeElement) ? this.focusedAt() : null;
    const chosen = partitions.find((partition) => idOf(partition) === this.chosen) ?? null;
    if (this.chosen !== null && chosen === null) {
      text(this.hint, `${this.chosen} is no longer assigned here.`);
      this.chosen = null;
    }
    if (!sameCells(this.cells, partitions)) this.reassign(partitions);
    const several = new Set(partitions.map((partition) => partition.topic)).size > 1;
    for (const [at, partition] of partitions.entries()) {
      const cell = this.cells[at];
      if (cell) this.draw(cell, partition, several);
    }
    text(this.total, `${count(partitions.length)} ${partitions.length === 1 ? "partition" : "partitions"}`);
    show(this.none, partitions.length === 0);
    show(this.scale, partitions.length > 0);
    text(this.none, unassigned(view.pipeline));
    show(this.hint, chosen === null && (partitions.length > 0 || this.hint.textContent !== CHOOSE));
    this.details.update(view.pipeline, chosen);
    // Hidden details keep the focus until they are next laid out, and removed cells lose it at once.
    if (focused !== null && !(this.element.contains(document.activeElement) && document.activeElement?.checkVisibility())) this.focus(focused);
  }

  private begin(pipeline: string): void {
    this.pipeline = pipeline;
    this.cells = [];
    this.map.replaceChildren();
    this.roving = null;
    this.chosen = null;
    text(this.hint, CHOOSE);
  }

  /** Makes the cells those of `partitions`. A cell that stays is the same element, which keeps the focus. */
  private reassign(partitions: readonly Partition[]): void {
    const kept = new Map(this.cells.map((cell) => [cell.id, cell]));
    const at = this.cells.findIndex((cell) => cell.id === this.roving);
    this.cells = partitions.map((partition) => kept.get(idOf(partition)) ?? this.cell(idOf(partition)));
    const present = new Set(this.cells.map((cell) => cell.id));
    for (const [id, cell] of kept) if (!present.has(id)) cell.element.remove();
    for (const [place, { element }] of this.cells.entries()) {
      const there = this.map.children[place] ?? null;
      if (there !== element) this.map.insertBefore(element, there);
    }
    if (this.roving === null || !present.has(this.roving)) this.roving = this.cells[Math.min(Math.max(at, 0), this.cells.length - 1)]?.id ?? null;
  }

  /** Which cell has the focus, or the chosen one while its details have it. */
  private focusedAt(): number {
    const at = this.cells.findIndex((cell) => cell.element === document.activeElement);
    return at >= 0 ? at : this.cells.findIndex((cell) => cell.id === this.chosen);
  }

  /** Where the focus goes when what had it is gone: to the cell in its place, else to the empty map. */
  private focus(at: number): void {
    const cell = this.cells[Math.min(Math.max(at, 0), this.cells.length - 1)];
    (cell?.element ?? this.map).focus();
  }

  private cell(id: string): Cell {
    const lag = h("span", { class: "cell-lag num" });
    const marks = h("span", { class: "cell-marks" });
    const name = h("span", { class: "cell-name num" });
    const element = h("button", { type: "button", class: "cell" }, name, lag, marks);
    element.addEventListener("click", () => this.choose(this.chosen === id ? null : id));
    element.addEventListener("focus", () => {
      this.roving = id;
      for (const cell of this.cells) attribute(cell.element, "tabindex", cell.id === id ? "0" : "-1");
    });
    return { id, element, name, lag, marks };
  }

  private draw(cell: Cell, partition: Partition, several: boolean): void {
    text(cell.name, several ? cell.id : String(partition.partition));
    text(cell.lag, compact(partition.lag));
    const marks = marksOf(partition);
    text(cell.marks, marks.short);
    attribute(cell.element, "data-step", String(lagStep(partition.lag)));
    attribute(cell.element, "data-alarm", partition.ledger.imbalance !== 0 ? "" : null);
    attribute(cell.element, "data-paused", partition.paused ? "" : null);
    attribute(cell.element, "aria-pressed", String(cell.id === this.chosen));
    attribute(cell.element, "tabindex", cell.id === this.roving ? "0" : "-1");
    attribute(cell.element, "aria-label", `Partition ${cell.id}: lag ${count(partition.lag)}${marks.long}`);
  }

  private choose(id: string | null): void {
    const before = this.chosen;
    this.chosen = id;
    text(this.hint, CHOOSE);
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
    const at = this.cells.findIndex((cell) => cell.id === this.roving);
    this.cells[moved(event.key, at, this.cells.length, this.columns())]?.element.focus();
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
  return cells.length === partitions.length && partitions.every((partition, at) => cells[at]?.id === idOf(partition));
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
