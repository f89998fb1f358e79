/** What the checks share: widths, patience, and how they say what is wrong. */

export const WAIT = { timeout: 30_000 };
export const DESK = { width: 1280, height: 900 };
export const PHONE = { width: 360, height: 740 };

export function must(condition, words) {
  if (!condition) throw new Error(words);
}

/** Waits until the page is live, and goes to `pipeline`. */
export async function settle(page, pipeline) {
  await page.locator('.link[data-state="live"]').waitFor(WAIT);
  const tab = page.locator(".tab", { hasText: pipeline });
  if ((await page.locator(".tabs:not([hidden]) .tab").count()) > 1) await tab.first().click();
  await page.locator(".pipeline-name", { hasText: pipeline }).waitFor(WAIT);
}

/** What is wider than the page, in words; null when nothing is. */
export function sideways(page) {
  return page.evaluate(() => {
    const over = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    if (over > 0) return `the page is ${over} px wider than its window`;
    const out = (element) => element.checkVisibility() && element.getBoundingClientRect().right > innerWidth + 1 && !element.closest(".why, .what, .scroll, .uplot, .unseen");
    const outside = [...document.querySelectorAll("#app *")].filter(out).map((element) => element.className);
    return outside.length > 0 ? `outside of the window: ${outside.slice(0, 5).join(", ")}` : null;
  });
}
