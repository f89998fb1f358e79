/** What the page must do, one check each. Every wait is for a condition, with a generous bound. */

import { DESK, must, PHONE, settle, sideways, WAIT } from "./ground.mjs";

const focusedLabel = (page) => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.textContent ?? "");

async function policy({ response }) {
  const header = response.headers()["content-security-policy"] ?? "";
  must(header.includes("default-src 'self'"), `the policy is “${header}”, without default-src 'self'`);
  must(!header.includes("unsafe"), `the policy is “${header}”, which allows something unsafe`);
}

async function live({ page, pipeline }) {
  await settle(page, pipeline);
  must((await page.locator(".cell").count()) > 0, "there is no partition in the heat map");
  must((await page.locator(".chart canvas").count()) === 2, "the two charts are not drawn");
}

async function moving({ page, pipeline }) {
  await settle(page, pipeline);
  const figures = () => page.locator(".headline, .area-totals").allInnerTexts();
  const before = JSON.stringify(await figures());
  const started = Date.now();
  while (JSON.stringify(await figures()) === before) {
    must(Date.now() - started < WAIT.timeout, "no figure changed within 30 s");
    await page.waitForTimeout(200);
  }
}

async function heatByKeyboard({ page, pipeline }) {
  await settle(page, pipeline);
  const cells = page.locator(".cell");
  const count = await cells.count();
  must((await page.locator('.cell[tabindex="0"]').count()) === 1, "not exactly one cell is in the tab order");
  await cells.first().focus();
  await page.keyboard.press("End");
  must(await cells.nth(count - 1).evaluate((cell) => cell === document.activeElement), "End does not lead to the last cell");
  await page.keyboard.press("Home");
  if (count > 1) {
    await page.keyboard.press("ArrowRight");
    must(await cells.nth(1).evaluate((cell) => cell === document.activeElement), "the right arrow does not lead to the next cell");
  }
  const label = await focusedLabel(page);
  must(/lag [\d,]+/.test(label), `the cell is called “${label}”, without its lag`);
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
  must(outline !== "none", "the focused cell has no focus ring");
  await page.keyboard.press("Enter");
  await page.locator(".details", { hasText: "Watermark" }).waitFor(WAIT);
  await page.keyboard.press("Escape");
  await page.locator(".details").waitFor({ ...WAIT, state: "hidden" });
  must(/^Partition /.test(await focusedLabel(page)), "after Esc the focus is not back on the cell");
}

async function letterDrawer({ page, pipeline }) {
  await settle(page, pipeline);
  const opener = page.locator(".letter .link").first();
  await opener.waitFor(WAIT);
  await opener.focus();
  await page.keyboard.press("Enter");
  await page.locator(".drawer[open] .value").waitFor(WAIT);
  await page.keyboard.press("Escape");
  await page.locator(".drawer[open]").waitFor({ ...WAIT, state: "detached" });
}

async function redriveDialog({ page, pipeline }) {
  await settle(page, pipeline);
  await page.locator(".letter").first().waitFor(WAIT);
  const redrive = page.getByRole("button", { name: /^Redrive (all|\d)/ });
  await redrive.focus();
  await page.keyboard.press("Enter");
  const dialog = page.locator("dialog.redrive[open]");
  await dialog.waitFor(WAIT);
  must((await dialog.evaluate((element) => element.matches(":modal"))) === true, "the dialog is not modal");
  must(await dialog.evaluate((element) => element.contains(document.activeElement)), "the dialog does not take the focus");
  const confirm = dialog.locator('button[type="submit"]');
  must(await confirm.isVisible(), "the dialog has nothing to confirm with");
  await dialog.locator("input").fill("none");
  await confirm.click();
  await dialog.locator(".form-error", { hasText: "a whole number from" }).waitFor(WAIT);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ ...WAIT, state: "detached" });
  must(/^Redrive/.test(await focusedLabel(page)), "after Esc the focus is not back on the button");
}

async function redriveConfirmed({ page, pipeline }) {
  await settle(page, pipeline);
  let order = null;
  // Answered here: a check must not change the Seawall that it looks at.
  await page.route("**/dead-letters/redrive", (route) => {
    order = { method: route.request().method(), type: route.request().headers()["content-type"], body: route.request().postDataJSON() };
    return route.fulfill({ status: 200, contentType: "application/json", body: JSON.stringify({ running: false, count: 1, redriven: 1, failed: 0, error: null }) });
  });
  await page.locator(".letter input").first().check();
  await page.getByRole("button", { name: "Redrive 1…" }).click();
  const dialog = page.locator("dialog.redrive[open]");
  await dialog.locator("input").fill("25");
  await page.keyboard.press("Enter");
  await page.locator(".notice", { hasText: "Redrove 1 dead letter" }).waitFor(WAIT);
  must(order?.method === "POST" && order.type === "application/json", `the order was ${JSON.stringify(order)}`);
  must(order.body.rate === 25 && order.body.ids.length === 1 && !("all" in order.body), `the order was ${JSON.stringify(order.body)}`);
}

async function purgeNeedsTheName({ page, pipeline }) {
  await settle(page, pipeline);
  let orders = 0;
  await page.route("**/dead-letters/purge", (route) => {
    orders += 1;
    return route.fulfill({ status: 409, contentType: "application/problem+json", body: JSON.stringify({ title: "Kept", detail: "a check looks at <b>this</b>" }) });
  });
  await page.locator(".letter").first().waitFor(WAIT);
  await page.getByRole("button", { name: "Purge all…" }).click();
  const dialog = page.locator("dialog.purge[open]");
  await dialog.locator('button[type="submit"]').click();
  await dialog.locator(".form-error", { hasText: pipeline }).waitFor(WAIT);
  must(orders === 0, "a purge of everything went out without the pipeline's name");
  await dialog.locator("input").fill(pipeline);
  await page.keyboard.press("Enter");
  await dialog.locator(".form-error", { hasText: "Kept: a check looks at <b>this</b>" }).waitFor(WAIT);
}

async function stale({ page, pipeline }) {
  await settle(page, pipeline);
  const snapshot = await page.evaluate(async () => (await fetch("v1/overview")).text());
  let cut = false;
  await page.route("**/v1/overview", (route) => (cut ? route.abort() : route.continue()));
  await page.route("**/v1/events", (route) => {
    if (cut) return route.abort();
    cut = true;
    return route.fulfill({ status: 200, contentType: "text/event-stream", body: `event: snapshot\ndata: ${snapshot}\n\n` });
  });
  await page.reload();
  await page.locator(".stale", { hasText: "Stale since" }).waitFor(WAIT);
  await page.locator('.link[data-state="waiting"], .link[data-state="connecting"]').first().waitFor(WAIT);
  await page.unrouteAll();
  await page.locator('.link[data-state="live"]').waitFor(WAIT);
  await page.locator(".stale").waitFor({ ...WAIT, state: "hidden" });
}

async function token({ page, pipeline }) {
  await settle(page, pipeline);
  const secret = "let-me-in";
  await page.route("**/v1/**", (route) => {
    if (route.request().headers().authorization === `Bearer ${secret}`) return route.continue();
    return route.fulfill({ status: 401, contentType: "application/problem+json", body: JSON.stringify({ title: "Unauthorized" }) });
  });
  await page.reload();
  const dialog = page.locator("dialog[open]", { hasText: "Token needed" });
  await dialog.waitFor(WAIT);
  await page.keyboard.type("wrong");
  await page.keyboard.press("Enter");
  await dialog.locator(".form-error", { hasText: "refused" }).waitFor(WAIT);
  await dialog.locator("input").fill(secret);
  await page.keyboard.press("Enter");
  await settle(page, pipeline);
  const kept = await page.evaluate(() => [sessionStorage.length, Object.values({ ...localStorage }).join()]);
  must(kept[0] === 1 && !kept[1].includes("let-me-in"), "the token is not in this tab's storage alone");
}

async function phone({ page, pipeline }) {
  await settle(page, pipeline);
  must((await sideways(page)) === null, await sideways(page));
  await page.locator(".cell").first().click();
  must((await sideways(page)) === null, `with a partition open, ${await sideways(page)}`);
}

async function themes({ page, pipeline }) {
  await settle(page, pipeline);
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const seen = new Set();
  for (let press = 0; press < 3; press += 1) {
    await page.locator(".theme").click();
    seen.add(await ground());
  }
  must(seen.size === 2, `the toggle gave the grounds ${[...seen].join(", ")}; a dark and a light one are expected`);
}

export const checks = [
  { name: "the page comes with a strict content security policy", ...DESK, run: policy },
  { name: "the page shows the pipeline live, with charts and partitions", ...DESK, run: live },
  { name: "the figures move", ...DESK, run: moving },
  { name: "the heat map is walked by keyboard, Enter opens and Esc closes", ...DESK, run: heatByKeyboard },
  { name: "a dead letter opens in the drawer with headers and value", ...DESK, run: letterDrawer },
  { name: "redrive asks first, refuses a bad rate, and Esc lets go", ...DESK, run: redriveDialog },
  { name: "a confirmed redrive orders exactly what was ticked", ...DESK, run: redriveConfirmed },
  { name: "a purge of everything needs the pipeline's name, and a refusal is shown", ...DESK, run: purgeNeedsTheName, noisy: true },
  { name: "a lost Seawall makes the page say stale, and it comes back by itself", ...DESK, run: stale, noisy: true },
  { name: "a Seawall that demands a token is given it with each call", ...DESK, run: token, noisy: true },
  { name: "dark and light can be toggled", ...DESK, run: themes },
  { name: "at phone width nothing scrolls sideways", ...PHONE, run: phone },
];
