/** A headless Chromium that talks to nothing but the page under test. */

import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const CANDIDATES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/** The browser's path: CHROMIUM if set, else where distributions put it; null when there is none. */
export function browserPath() {
  const named = process.env.CHROMIUM;
  return named ? named : (CANDIDATES.find((path) => existsSync(path)) ?? null);
}

export function launch(executablePath) {
  return chromium.launch({
    executablePath,
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  });
}
