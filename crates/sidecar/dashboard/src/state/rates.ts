/** Rates from counters that only grow, and that begin again at zero when Seawall restarts. */

/**
 * Events per second between two readings of one counter.
 * Null when there is nothing to say: no time passed, or the counter went back (a restart).
 */
export function rateBetween(before: number, after: number, elapsed_ms: number): number | null {
  if (elapsed_ms <= 0 || after < before) return null;
  return ((after - before) * 1000) / elapsed_ms;
}
