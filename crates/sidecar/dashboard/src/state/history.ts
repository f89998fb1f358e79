/**
 * Five minutes of one pipeline, a sample a second, from which the charts and the rates are drawn.
 * Seawall keeps no past of its own: a page that was just opened starts with an empty chart.
 */

import type { Pipeline } from "../wire/overview.ts";
import { rateBetween } from "./rates.ts";

export const WINDOW_MS = 5 * 60 * 1000;

/** A hole wider than this is drawn as a gap. */
const GAP_MS = 5_000;

export interface Sample {
  at_ms: number;
  acked: number;
  retried: number;
  dead_lettered: number;
  panics: number;
  refusals: { rate: number; concurrency: number; adaptive: number; breaker: number };
  p50: number | null;
  p90: number | null;
  p99: number | null;
  max: number | null;
}

export type Counter = "acked" | "retried" | "dead_lettered";
export type Percentile = "p50" | "p90" | "p99" | "max";

export class History {
  private samples: Sample[] = [];

  /** Takes a reading. One that goes back in time, or whose acknowledgements do, begins a new history. */
  add(sample: Sample): void {
    const last = this.samples.at(-1);
    if (last && sample.at_ms === last.at_ms) return;
    if (last && (sample.at_ms < last.at_ms || sample.acked < last.acked)) {
      this.samples = [];
    }
    this.samples.push(sample);
    const oldest = sample.at_ms - WINDOW_MS - GAP_MS;
    const keep = this.samples.findIndex((one) => one.at_ms >= oldest);
    if (keep > 0) this.samples.splice(0, keep);
  }

  get length(): number {
    return this.samples.length;
  }

  /** Seconds of the samples' times, for the x axis, with a null-valued instant inside each gap. */
  times(): number[] {
    return this.rows().map((row) => row.at_ms / 1000);
  }

  /** Per-second rates, aligned with `times`. */
  rates(counter: Counter): (number | null)[] {
    return this.rows().map((row) =>
      row.before && row.sample ? rateBetween(row.before[counter], row.sample[counter], row.sample.at_ms - row.before.at_ms) : null,
    );
  }

  /** Latencies in seconds, aligned with `times`. Zero means "none measured" and cannot stand on a log scale. */
  latencies(percentile: Percentile): (number | null)[] {
    return this.rows().map((row) => row.sample?.[percentile] || null);
  }

  /** The mean rate over the last `span_ms`; null until there are two samples. */
  recent(read: (sample: Sample) => number, span_ms = 5_000): number | null {
    const last = this.samples.at(-1);
    if (!last) return null;
    const first = this.samples.find((one) => one.at_ms >= last.at_ms - span_ms);
    return first ? rateBetween(read(first), read(last), last.at_ms - first.at_ms) : null;
  }

  /** How much a counter grew over what is kept. */
  growth(read: (sample: Sample) => number): number {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    return first && last ? read(last) - read(first) : 0;
  }

  private rows(): { at_ms: number; sample: Sample | null; before: Sample | null }[] {
    const rows: { at_ms: number; sample: Sample | null; before: Sample | null }[] = [];
    let before: Sample | null = null;
    for (const sample of this.samples) {
      if (before && sample.at_ms - before.at_ms > GAP_MS) {
        rows.push({ at_ms: before.at_ms + 1, sample: null, before: null });
        before = null;
      }
      rows.push({ at_ms: sample.at_ms, sample, before });
      before = sample;
    }
    return rows;
  }
}

export function sampleOf(pipeline: Pipeline, at_ms: number): Sample {
  const { acked, retried, dead_lettered, panics } = pipeline.totals;
  const { p50, p90, p99, max } = pipeline.latency_seconds;
  return { at_ms, acked, retried, dead_lettered, panics, refusals: { ...pipeline.guard.refusals }, p50, p90, p99, max };
}
