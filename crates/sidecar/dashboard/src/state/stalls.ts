/** What stands still, in words. */

import { count } from "../format/number.ts";
import type { Stall } from "../wire/overview.ts";

const WORDS: Record<Stall["kind"], string> = {
  runtime: "The runtime runs no task: something blocks its threads",
  fetch: "The fetch loop takes no step: its source holds it",
  worker: "A worker is held by a handler that blocks",
  handler: "A handler has not answered",
  partition: "The lowest unsettled record is not settled",
};

/** A kind that a newer Seawall has is shown by its name. */
export function wordsOf({ kind, worker }: Stall): string {
  const words: string | undefined = WORDS[kind];
  return `${words ?? kind}${worker === null ? "" : ` (worker ${worker})`}`;
}

/** `orders/3 at offset 1,234`, or as much of it as is known. */
export function placeOf({ topic, partition, offset }: Stall): string {
  const where = topic === null || partition === null ? "" : `${topic}/${partition}`;
  return offset === null ? where : `${where === "" ? "" : `${where} `}at offset ${count(offset)}`;
}

/** Equal for one stall, looked at twice. */
export function keyOf({ lasted_s: _, ...place }: Stall): string {
  return JSON.stringify(place);
}

/** Those that have lasted longest first. */
export function byAge(stalls: readonly Stall[]): Stall[] {
  return [...stalls].sort((one, other) => other.lasted_s - one.lasted_s);
}
