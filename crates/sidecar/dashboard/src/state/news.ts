/**
 * What has changed about any pipeline, looked at or not, that somebody who does not see the page must be told.
 * Each change is told once: the figures behind it go on moving in silence.
 */

import type { Pipeline } from "../wire/overview.ts";

export interface News {
  /** Told at once. */
  urgent: string[];
  /** Told when there is a pause. */
  calm: string[];
}

interface Told {
  state: Pipeline["state"];
  fault: string | null;
  stalled: boolean;
}

export class Newsroom {
  private told = new Map<string, Told>();

  /** What is new since the last time. */
  take(pipelines: readonly Pipeline[]): News {
    const news: News = { urgent: [], calm: [] };
    const now = new Map<string, Told>();
    for (const { name, state, fault, stalls } of pipelines) {
      const before = this.told.get(name);
      const told = { state, fault, stalled: stalls.length > 0 };
      now.set(name, told);
      tell(news, name, before, told);
    }
    this.told = now;
    return news;
  }
}

function tell(news: News, name: string, before: Told | undefined, now: Told): void {
  const because = now.fault === null ? "" : `: ${now.fault}`;
  if (now.state === "failed") {
    if (before?.state !== "failed" || before.fault !== now.fault) news.urgent.push(`Pipeline ${name} has failed${because}`);
  } else if (now.state === "joining") {
    // The reason may change with each try.
    if (before?.state !== "joining") news.calm.push(`Pipeline ${name} waits to join its group${because}`);
  } else if (before?.state === "joining" || before?.state === "failed") {
    news.calm.push(`Pipeline ${name} is ${now.state}`);
  }
  if (now.stalled && !before?.stalled) news.calm.push(`Pipeline ${name}: something stands still`);
  if (!now.stalled && before?.stalled) news.calm.push(`Pipeline ${name}: nothing stands still any more`);
}
