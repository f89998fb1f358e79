/** A line chart of the last five minutes, with its legend as text above it. */

import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { attribute, h, text } from "../dom/h.ts";
import { WINDOW_MS } from "../state/history.ts";
import { onThemeChange } from "../theme.ts";
import { color } from "./color.ts";

export interface Line {
  label: string;
  /** The custom property that holds its colour. */
  color: string;
  /** Lines differ by dash as well as by colour. */
  dash?: number[];
  width?: number;
  fill?: boolean;
}

export interface TimeChartOptions {
  label: string;
  lines: readonly Line[];
  format(value: number | null): string;
  log?: boolean;
  /** The least upper end of the value axis. */
  top: number;
}

const HEIGHT = 188;

export class TimeChart {
  readonly element: HTMLElement;
  readonly legend: HTMLElement;
  private readonly options: TimeChartOptions;
  private readonly values: HTMLElement[];
  private plot: uPlot | null = null;
  private data: uPlot.AlignedData = [[]];
  private end_s = 0;
  private hover: number | null = null;
  private width = 0;

  constructor(options: TimeChartOptions) {
    this.options = options;
    this.values = options.lines.map(() => h("span", { class: "num" }));
    this.legend = h("ul", { class: "legend" }, ...options.lines.map((line, at) => this.legendItem(line, at)));
    this.element = h("div", { class: "chart", role: "img", "aria-label": options.label });
    new ResizeObserver(() => this.resize()).observe(this.element);
    onThemeChange(() => this.rebuild());
  }

  update(data: uPlot.AlignedData, end_ms: number): void {
    this.data = data;
    this.end_s = end_ms / 1000;
    if (this.plot) this.plot.setData(data);
    else this.rebuild();
    this.writeLegend();
  }

  private legendItem(line: Line, at: number): HTMLElement {
    const swatch = h("span", { class: `swatch ${line.dash ? "dashed" : ""}`, "aria-hidden": "true" });
    swatch.style.setProperty("color", `var(${line.color})`);
    return h("li", {}, swatch, h("span", { class: "label" }, line.label), this.values[at] ?? null);
  }

  private resize(): void {
    const width = Math.floor(this.element.clientWidth);
    if (width === this.width || width === 0) return;
    this.width = width;
    if (this.plot) this.plot.setSize({ width, height: HEIGHT });
    else this.rebuild();
  }

  private rebuild(): void {
    this.plot?.destroy();
    this.plot = null;
    if (this.width === 0 || this.end_s === 0) return;
    this.plot = new uPlot(this.settings(), this.data, this.element);
  }

  private settings(): uPlot.Options {
    const axis = { stroke: color("--ink-3"), grid: { stroke: color("--grid"), width: 1 }, ticks: { show: false }, font: '11px "Inter Variable", system-ui, sans-serif' };
    const { log, format } = this.options;
    return {
      width: this.width,
      height: HEIGHT,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false, x: false, y: false }, points: { size: 6 } },
      scales: {
        x: { time: true, range: () => [this.end_s - WINDOW_MS / 1000, this.end_s] },
        y: log ? { distr: 3, range: (_, min, max) => decades(min, max, this.options.top) } : { range: (_, __, max) => [0, Math.max(this.options.top, max * 1.08)] },
      },
      axes: [
        { ...axis, size: 26, space: 70, values: (_, at) => at.map(minuteOrEmpty) },
        {
          ...axis,
          ...(log ? { grid: { ...axis.grid, filter: decadesOnly } } : {}),
          size: axisWidth,
          space: 30,
          values: (_, at) => at.map((value) => (value === null || (log && !isDecade(value)) ? "" : trimmed(format(value)))),
        },
      ],
      series: [{}, ...this.options.lines.map((line) => this.series(line))],
      hooks: { setCursor: [(plot) => this.setHover(plot.cursor.idx ?? null)] },
    };
  }

  private series(line: Line): uPlot.Series {
    const stroke = color(line.color);
    return {
      label: line.label,
      stroke,
      width: line.width ?? 1.5,
      points: { show: false },
      ...(line.dash ? { dash: line.dash } : {}),
      ...(line.fill ? { fill: color(`${line.color}-wash`) } : {}),
    };
  }

  private setHover(index: number | null): void {
    this.hover = index;
    this.writeLegend();
  }

  private writeLegend(): void {
    const at = this.hover ?? (this.data[0]?.length ?? 0) - 1;
    const words: string[] = [];
    for (const [index, cell] of this.values.entries()) {
      const value = this.data[index + 1]?.[at] ?? null;
      const shown = this.options.format(value);
      text(cell, shown);
      words.push(`${this.options.lines[index]?.label}: ${shown}`);
    }
    attribute(this.legend, "data-hover", this.hover === null ? null : "");
    attribute(this.element, "aria-label", `${this.options.label}. Now ${words.join(", ")}`);
  }
}

function minuteOrEmpty(seconds: number): string {
  const at = new Date(seconds * 1000);
  const pad = (part: number) => String(part).padStart(2, "0");
  return at.getSeconds() === 0 ? `${pad(at.getHours())}:${pad(at.getMinutes())}` : "";
}

/** As wide as its longest label needs. */
function axisWidth(_plot: uPlot, labels: string[] | null): number {
  const longest = (labels ?? []).reduce((most, label) => Math.max(most, label?.length ?? 0), 0);
  return 14 + Math.max(3, longest) * 6;
}

function isDecade(value: number): boolean {
  const exponent = Math.log10(value);
  return Math.abs(exponent - Math.round(exponent)) < 1e-6;
}

/** "10.0 ms" is "10 ms" where it names a line. */
function trimmed(label: string): string {
  return label.replace(/\.0+(?=\D|$)/, "");
}

/** A logarithmic axis offers nine lines a decade: one is enough. */
function decadesOnly(_plot: uPlot, splits: number[]): (number | null)[] {
  return splits.map((value) => (isDecade(value) ? value : null));
}

/** Whole decades around the values, at least two of them. */
function decades(min: number, max: number, top: number): [number, number] {
  const high = 10 ** Math.ceil(Math.log10(Math.max(max || 0, top)) - 1e-9);
  const low = 10 ** Math.floor(Math.log10(min > 0 ? min : high / 100) + 1e-9);
  return [Math.min(low, high / 100), high];
}
