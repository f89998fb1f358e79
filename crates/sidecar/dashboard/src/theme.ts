/** Dark, light, or as the system says. */

export type Theme = "auto" | "light" | "dark";

const SLOT = "seawall.theme";
const ORDER: readonly Theme[] = ["auto", "light", "dark"];

export function theme(): Theme {
  const kept = localStorage.getItem(SLOT);
  return ORDER.find((one) => one === kept) ?? "auto";
}

export function nextTheme(of: Theme): Theme {
  return ORDER[(ORDER.indexOf(of) + 1) % ORDER.length] ?? "auto";
}

export function applyTheme(chosen: Theme): void {
  document.documentElement.dataset["theme"] = chosen;
  if (chosen === "auto") localStorage.removeItem(SLOT);
  else localStorage.setItem(SLOT, chosen);
}

/** Calls back whenever the colours in force may have changed. */
export function onThemeChange(changed: () => void): void {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  new MutationObserver(changed).observe(document.documentElement, { attributeFilter: ["data-theme"] });
}
