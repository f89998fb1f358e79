/** How long handlers take. The axis is logarithmic: a median and a worst case share it. */

import { TimeChart } from "../charts/timechart.ts";
import { frame } from "../dom/panel.ts";
import { latency } from "../format/time.ts";
import type { View } from "../state/model.ts";

export class LatencyPanel {
  private readonly chart = new TimeChart({
    label: "Handler latency percentiles over five minutes, logarithmic axis",
    lines: [
      { label: "p50", color: "--series-1", width: 2 },
      { label: "p90", color: "--series-4" },
      { label: "p99", color: "--series-2" },
      { label: "max", color: "--series-3", dash: [2, 3] },
    ],
    format: latency,
    log: true,
    top: 0.01,
  });
  readonly element: HTMLElement;

  constructor() {
    const { element, aside } = frame("Latency", "latency", this.chart.element);
    aside.append(this.chart.legend);
    this.element = element;
  }

  update({ history, at_ms }: View): void {
    const { chart } = this;
    chart.update([history.times(), history.latencies("p50"), history.latencies("p90"), history.latencies("p99"), history.latencies("max")], at_ms);
  }
}
