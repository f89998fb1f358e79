/** The conservation ledger: fetched = acknowledged + dead-lettered + deferred + parked + in flight. */

import type { Ledger, Partition } from "../wire/overview.ts";

export function ledgerOf(partitions: readonly Partition[]): Ledger {
  const sum: Ledger = { fetched: 0, acked: 0, dead_lettered: 0, deferred: 0, parked: 0, in_flight: 0, imbalance: 0 };
  for (const { ledger } of partitions) {
    sum.fetched += ledger.fetched;
    sum.acked += ledger.acked;
    sum.dead_lettered += ledger.dead_lettered;
    sum.deferred += ledger.deferred;
    sum.parked += ledger.parked;
    sum.in_flight += ledger.in_flight;
    sum.imbalance += ledger.imbalance;
  }
  return sum;
}

/** The partitions that are off. Their sum may be zero: one short and one over do not make it right. */
export function imbalanced(partitions: readonly Partition[]): Partition[] {
  return partitions.filter((partition) => partition.ledger.imbalance !== 0);
}

export function signed(value: number): string {
  return value > 0 ? `+${value}` : String(value);
}
