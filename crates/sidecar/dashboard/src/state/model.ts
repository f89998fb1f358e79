/** What the page knows: the last snapshot, five minutes of each pipeline, and which pipeline is looked at. */

import type { Connection } from "../stream/live.ts";
import type { Ingest, Pipeline, Snapshot } from "../wire/overview.ts";
import { History, sampleOf } from "./history.ts";

/** Seawall speaks each second; older than this, what is shown is called stale. */
const FRESH_MS_MAX = 3_500;

/** One pipeline as the panels see it. */
export interface View {
  at_ms: number;
  pipeline: Pipeline;
  history: History;
}

export class Model {
  snapshot: Snapshot | null = null;
  connection: Connection = { kind: "connecting" };
  private heard_ms: number | null = null;
  private histories = new Map<string, History>();
  private wanted: string | null = null;
  private ingestBefore: { at_ms: number; ingest: Ingest } | null = null;
  /** Records per second that ingest accepts; null until known. */
  ingestRate: number | null = null;

  take(snapshot: Snapshot, now_ms: number): void {
    this.heard_ms = now_ms;
    if (this.snapshot && snapshot.uptime_s < this.snapshot.uptime_s) this.forget();
    this.measureIngest(snapshot);
    this.snapshot = snapshot;
    const present = new Set(snapshot.pipelines.map((pipeline) => pipeline.name));
    for (const name of this.histories.keys()) if (!present.has(name)) this.histories.delete(name);
    for (const pipeline of snapshot.pipelines) this.history(pipeline.name).add(sampleOf(pipeline, snapshot.at_ms));
  }

  /** The time of the last word from Seawall when that is too long ago, else null. */
  staleSince(now_ms: number): number | null {
    return this.heard_ms !== null && now_ms - this.heard_ms > FRESH_MS_MAX ? this.heard_ms : null;
  }

  select(name: string | null): void {
    this.wanted = name;
  }

  /** The pipeline looked at: the chosen one while it exists, else the first. */
  view(): View | null {
    const pipelines = this.snapshot?.pipelines ?? [];
    const pipeline = pipelines.find((one) => one.name === this.wanted) ?? pipelines[0];
    if (!pipeline || !this.snapshot) return null;
    return { at_ms: this.snapshot.at_ms, pipeline, history: this.history(pipeline.name) };
  }

  history(name: string): History {
    let history = this.histories.get(name);
    if (!history) {
      history = new History();
      this.histories.set(name, history);
    }
    return history;
  }

  /** Seawall was restarted: its counters began again. */
  private forget(): void {
    this.histories.clear();
    this.ingestBefore = null;
  }

  private measureIngest(next: Snapshot): void {
    const before = this.ingestBefore;
    if (before && next.at_ms <= before.at_ms) return;
    const grown = before ? next.ingest.accepted - before.ingest.accepted : -1;
    this.ingestRate = before && grown >= 0 ? (grown * 1000) / (next.at_ms - before.at_ms) : null;
    this.ingestBefore = { at_ms: next.at_ms, ingest: next.ingest };
  }
}
