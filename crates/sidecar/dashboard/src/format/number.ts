/** Numbers for people: the same width for the same magnitude, so that columns do not dance. */

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const NONE = "–";

/** Exact, with thousands separators. */
export function count(value: number | null | undefined): string {
  return value == null || !Number.isFinite(value) ? NONE : grouped.format(value);
}

const STEPS = [
  { from: 1e12, unit: "T" },
  { from: 1e9, unit: "G" },
  { from: 1e6, unit: "M" },
  { from: 1e3, unit: "k" },
] as const;

/** Three significant digits from 10,000 on; exact below. */
export function compact(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return NONE;
  const size = Math.abs(value);
  if (size < 10_000) return grouped.format(value);
  for (const [index, step] of STEPS.entries()) {
    if (size < step.from) continue;
    const text = significant(value / step.from, 3);
    const larger = STEPS[index - 1];
    // 999,950 would read "1000k".
    return Math.abs(Number(text)) >= 1000 && larger ? `${significant(value / larger.from, 3)}${larger.unit}` : text + step.unit;
  }
  return grouped.format(value);
}

/** Events per second: one decimal while small, because 0.3/s is not 0/s. */
export function rate(perSecond: number | null | undefined): string {
  if (perSecond == null || !Number.isFinite(perSecond)) return NONE;
  if (perSecond === 0) return "0";
  if (perSecond < 0.05) return "<0.1";
  return perSecond < 99.95 ? perSecond.toFixed(1) : compact(Math.round(perSecond));
}

export function percent(ratio: number | null | undefined): string {
  if (ratio == null || !Number.isFinite(ratio)) return NONE;
  const value = ratio * 100;
  if (value > 0 && value < 0.1) return "<0.1 %";
  return `${value < 10 && value > 0 ? value.toFixed(1) : Math.round(value)} %`;
}

const BINARY = ["B", "KiB", "MiB", "GiB", "TiB"] as const;

export function bytes(value: number | null | undefined): string {
  if (value == null || !Number.isFinite(value)) return NONE;
  let unit = 0;
  let size = value;
  while (size >= 1024 && unit < BINARY.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? size : significant(size, 3)} ${BINARY[unit]}`;
}

/** Rounded to `digits` significant digits, without exponent. */
export function significant(value: number, digits: number): string {
  if (value === 0) return "0";
  const rounded = Number(value.toPrecision(digits));
  // Of the rounded value: 0.99995 is 1.00, not 1.000.
  const magnitude = Math.floor(Math.log10(Math.abs(rounded)));
  const after = Math.max(0, digits - 1 - magnitude);
  return rounded.toFixed(Math.min(after, 6));
}
