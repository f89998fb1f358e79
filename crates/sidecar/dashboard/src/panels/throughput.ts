/** Records settled per second, by how they were settled. */

import { TimeChart } from "../charts/timechart.ts";
import { frame } from "../dom/panel.ts";
import { rate } from "../format/number.ts";
import type { View } from "../state/model.ts";

export class Throughput {
  private readonly chart = new TimeChart({
    label: "Throughput in records per second over five minutes",
    lines: [
      { label: "Acknowledged", color: "--series-1", fill: true },
      { label: "Retried", color: "--series-2", dash: [6, 3] },
      { label: "Dead-lettered", color: "--series-3", dash: [2, 2] },
    ],
    format: rate,
    top: 10,
  });
  readonly element: HTMLElement;

  constructor() {
    const { element, aside } = frame("Throughput", "throughput", this.chart.element);
    aside.append(this.chart.legend);
    this.element = element;
  }

  update({ history, at_ms }: View): void {
    this.chart.update([history.times(), history.rates("acked"), history.rates("retried"), history.rates("dead_lettered")], at_ms);
  }
}
