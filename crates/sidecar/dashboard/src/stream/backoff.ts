/** How long to wait before the next attempt to reach Seawall. */

const BASE_MS = 500;
const MAX_MS = 10_000;

/** Doubles from 0.5 s to 10 s; `random` in [0, 1) takes up to half of it away, so that pages do not return in step. */
export function backoff_ms(attempt: number, random: number): number {
  const full = Math.min(MAX_MS, BASE_MS * 2 ** Math.min(attempt, 16));
  return Math.round(full * (1 - random / 2));
}
