/**
 * Checks the page in a real browser against a Seawall that runs (or the mock).
 *
 *     node e2e/smoke.mjs BASE [--pipeline NAME] [--screenshot FILE] [--theme dark|light] [--wait SECONDS]
 *
 * Seawall should be under load, with at least one dead letter to come. What it cannot be brought into
 * at will (a cluster that is away, a failed pipeline, stalls) is then shown by the mock, which this
 * starts itself at a free port. CHROMIUM names the browser
 * when it stands at an unusual place. Prints one line per check; exits 1 when one fails, 2 on wrong
 * use, and 4 when there is no browser. It redrives nothing and purges nothing.
 */

import { parseArgs } from "node:util";
import { browserPath, launch } from "./browser.mjs";
import { World } from "../mock/world.mjs";
import { Site } from "../mock/site.mjs";
import { checks } from "./checks.mjs";
import { states } from "./states.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    pipeline: { type: "string", default: "orders" },
    screenshot: { type: "string" },
    theme: { type: "string", default: "light" },
    wait: { type: "string", default: "0" },
  },
});
const base = positionals[0];
if (!base || !URL.canParse(base)) {
  console.error(`smoke: the admin address is “${base ?? ""}”; a URL such as http://127.0.0.1:9090/ is needed`);
  process.exit(2);
}
const executable = browserPath();
if (executable === null) {
  console.error("smoke: no Chromium found; install it or set CHROMIUM to its path");
  process.exit(4);
}

/** Whatever the page complains about, anywhere: each is a failure. */
const complaints = [];
const browser = await launch(executable);
let failed = 0;

/** `noisy`: the check cuts the line itself, of which the browser complains on the console. */
async function openPage({ width, height, noisy = false, theme = options.theme, address = base }) {
  const page = await browser.newPage({ viewport: { width, height }, colorScheme: theme });
  page.on("console", (message) => {
    if (noisy && message.text().startsWith("Failed to load resource")) return;
    if (message.type() === "error" || message.type() === "warning") complaints.push(`console: ${message.text()}`);
  });
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => {
    complaints.push(`a script of a record ran: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => console.error(`policy ${event.violatedDirective} violated by ${event.blockedURI}`));
  });
  const response = await page.goto(address, { waitUntil: "load" });
  return { page, response };
}

/** Opens a page for the check, and says how it went. */
async function carryOut(check, address, more) {
  const { page, response } = await openPage({ ...check, address });
  try {
    await check.run({ page, response, ...more });
    console.log(`ok ${check.name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${check.name}: ${error.message.split("\n")[0]}`);
  }
  await page.close();
}

for (const check of checks) await carryOut(check, base, { pipeline: options.pipeline });
for (const check of states) {
  const world = new World();
  const site = new Site({ world });
  await carryOut(check, await site.open(), { world, site });
  site.close();
}

if (complaints.length > 0) {
  failed += 1;
  console.log(`FAILED the page complains of nothing: ${[...new Set(complaints)].join("; ")}`);
} else {
  console.log("ok the page complains of nothing: no script error, no policy violation");
}

if (options.screenshot) {
  const { page } = await openPage({ width: 1280, height: 1000 });
  await page.waitForSelector(".headline");
  // The charts begin empty: Seawall keeps no past for a page that was just opened.
  await page.waitForTimeout(Math.max(2, Number(options.wait)) * 1000);
  await page.screenshot({ path: options.screenshot });
  await page.close();
}
await browser.close();
process.exitCode = failed > 0 ? 1 : 0;
