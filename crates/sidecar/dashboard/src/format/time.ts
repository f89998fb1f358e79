/** Durations and instants for people. */

import { NONE, significant } from "./number.ts";

/** A latency given in seconds: "850 µs", "4.12 ms", "1.24 s". */
export function latency(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return NONE;
  if (seconds === 0) return "0 s";
  if (seconds < 0.9995e-3) return `${significant(seconds * 1e6, 3)} µs`;
  if (seconds < 0.9995) return `${significant(seconds * 1e3, 3)} ms`;
  if (seconds < 100) return `${significant(seconds, 3)} s`;
  return elapsed(seconds);
}

/** A span given in seconds, by its two largest units: "42 s", "12 min 03 s", "3 d 04 h". */
export function elapsed(seconds: number | null | undefined): string {
  if (seconds == null || !Number.isFinite(seconds)) return NONE;
  const whole = Math.max(0, Math.floor(seconds));
  const pad = (part: number) => String(part).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86_400)} d ${pad(Math.floor((whole % 86_400) / 3600))} h`;
}

/** Local wall time, "14:03:07". */
export function clock(ms: number): string {
  return new Date(ms).toLocaleTimeString("en-GB", { hour12: false });
}

/** Local date and time to the millisecond, "2026-03-01 14:03:07.120". */
export function stamp(ms: number | null): string {
  if (ms === null) return NONE;
  const at = new Date(ms);
  if (Number.isNaN(at.getTime())) return NONE;
  const pad = (part: number, width = 2) => String(part).padStart(width, "0");
  const day = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
  return `${day} ${clock(ms)}.${pad(at.getMilliseconds(), 3)}`;
}

/** How long ago, roughly: "12 s ago", "3 h ago". */
export function ago(ms: number, now_ms: number): string {
  const seconds = Math.max(0, Math.floor((now_ms - ms) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}
