/** Lag, as a sum and as a picture: which of a few steps a partition's cell takes. */

import type { Partition } from "../wire/overview.ts";

export const LAG_STEPS = 6;

/** 0 for none, then one step for each factor of ten: 1–9, 10–99, 100–999, 1,000–9,999, 10,000 and more. */
export function lagStep(lag: number): number {
  if (!(lag > 0)) return 0;
  return Math.min(LAG_STEPS - 1, Math.floor(Math.log10(lag) + 1e-9) + 1);
}

/** The lag of all that is assigned here; null without a partition: nothing is known of what others hold. */
export function lagOf(partitions: readonly Partition[]): number | null {
  return partitions.length === 0 ? null : partitions.reduce((sum, one) => sum + one.lag, 0);
}
