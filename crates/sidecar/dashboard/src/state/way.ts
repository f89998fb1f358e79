/** What a recoverable producer is doing, in words: pure, for the panel and its test. */

import { elapsed } from "../format/time.ts";
import { bytes, count } from "../format/number.ts";
import type { Producer, ProducerEvent } from "../wire/overview.ts";

/** Where records go now. */
export function wayOf({ state, active, spill }: Producer): string {
  switch (state) {
    case "direct":
      return `Straight to ${active ?? "the cluster"}`;
    case "buffering":
      return "The cluster failed a moment ago: they wait in memory";
    case "spilling":
      return "The cluster is gone: they go to disk";
    case "replaying":
      return `From disk to ${active ?? "the cluster"}, beside new ones${spill.waiting_records === 0 ? "; the last are on their way" : ""}`;
  }
}

/** How far the replay has come: of what waited when it began and since, how much is delivered. */
export function progressOf({ replay, spill }: Producer): { done: number; all: number } {
  return { done: replay.delivered, all: replay.delivered + spill.waiting_records };
}

/** What is left to replay, and for how long at the present pace. */
export function leftOf({ replay, spill }: Producer): string {
  if (spill.waiting_records === 0) return "nothing waits";
  const waiting = `${count(spill.waiting_records)} left, ${bytes(spill.waiting_bytes)}`;
  return replay.left_s === null ? `${waiting}; nothing moves` : `${waiting}; about ${elapsed(Math.max(1, replay.left_s))}`;
}

export function eventOf({ what, from, to, why, records }: ProducerEvent): string {
  switch (what) {
    case "state":
      return `${from ?? "?"} → ${to ?? "?"}`;
    case "switched":
      return `switched from ${from ?? "?"} to ${to ?? "?"}`;
    case "spill_trouble":
      return `the spill is in trouble: ${why ?? "no reason is known"}`;
    case "refused":
      return `${count(records ?? 0)} refused for good after their receipt: ${why ?? "no reason is known"}`;
  }
}
