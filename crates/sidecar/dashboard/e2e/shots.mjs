/**
 * Pictures of the page at desk and phone width, dark and light.
 *
 *     node e2e/shots.mjs BASE DIR [hash]
 */

import { mkdirSync } from "node:fs";
import { browserPath, launch } from "./browser.mjs";

const [base, dir, hash = ""] = process.argv.slice(2);
mkdirSync(dir, { recursive: true });
const browser = await launch(browserPath());
for (const width of [1280, 360]) {
  for (const colorScheme of ["light", "dark"]) {
    const page = await browser.newPage({ viewport: { width, height: width > 600 ? 900 : 740 }, colorScheme });
    await page.goto(base + hash);
    await page.waitForSelector(".headline");
    await page.waitForTimeout(2500);
    await page.screenshot({ path: `${dir}/${width}-${colorScheme}.png`, fullPage: true });
    if (colorScheme === (width > 600 ? "light" : "dark")) {
      const cell = page.locator(".cell").nth(1);
      if (await cell.count()) {
        await cell.click();
        await page.screenshot({ path: `${dir}/${width}-${colorScheme}-partition.png` });
      }
      const opener = page.locator(".letter .link").first();
      if (await opener.count()) {
        await opener.click();
        await page.waitForSelector(".drawer .value");
        await page.waitForTimeout(300);
        await page.screenshot({ path: `${dir}/${width}-${colorScheme}-drawer.png` });
        await page.locator(".drawer-foot .danger").click();
        await page.waitForTimeout(200);
        await page.screenshot({ path: `${dir}/${width}-${colorScheme}-purge.png` });
      }
    }
    await page.close();
  }
}
await browser.close();
