/** What the page must show of states that only the mock's world can be brought into: one world for each check. */

import { DESK, must, PHONE, settle, sideways, WAIT } from "./ground.mjs";

const AWAY = 'cluster "orders-eu" does not answer: <b>connection refused</b> by kafka-0.internal:9092';
const BROKEN = `GROUP_AUTHORIZATION_FAILED: ${"unbroken".repeat(60)}\nsecond line of the reason`;

const heard = (page, role, words) => page.locator(`.unseen [role="${role}"] p`, { hasText: words });
const cellIds = (page) => page.locator(".cell").evaluateAll((cells) => cells.map((cell) => /^Partition ([^:]+):/.exec(cell.getAttribute("aria-label"))?.[1]));
const focused = (page) => page.evaluate(() => document.activeElement?.getAttribute("aria-label") ?? document.activeElement?.className ?? "");

/** Says how the world stands now, and waits until the page shows `count` partitions. */
async function reassigned(page, site, count) {
  site.tell();
  await page.waitForFunction((wanted) => document.querySelectorAll(".cell").length === wanted, count, WAIT);
}

async function sources({ page }) {
  await settle(page, "orders");
  must((await page.locator(".badge.source").innerText()) === "Embedded log", "a pipeline on the log is not marked as such");
  must(!(await page.locator(".member").isVisible()), "a pipeline on the log is shown as a member of a group");
  await settle(page, "payments");
  await page.locator('.badge.source[data-source="kafka"]', { hasText: "Kafka: events-eu" }).waitFor(WAIT);
  await page.locator(".member", { hasText: "Client seawall-payments, static instance payments-0, a member of its group" }).waitFor(WAIT);
  await settle(page, "invoices");
  await page.locator(".member", { hasText: "not a member of its group now" }).waitFor(WAIT);
}

async function joining({ page, world, site }) {
  const pipeline = world.pipeline("payments");
  await settle(page, "payments");
  must((await page.locator(".alarm", { hasText: "join its group" }).count()) === 0, "a member is shown as one that waits");
  pipeline.waits(AWAY);
  site.tell();
  await page.locator(".alarm.warn", { hasText: AWAY }).waitFor(WAIT);
  await page.locator('.title .badge[data-state="joining"]').waitFor(WAIT);
  await page.locator('.tab[data-state="joining"]', { hasText: "payments" }).waitFor(WAIT);
  await heard(page, "status", `Pipeline payments waits to join its group: ${AWAY}`).waitFor({ ...WAIT, state: "attached" });
  must((await page.locator(".cell").count()) === 0, "partitions are shown of a pipeline that has not joined");
  await page.locator(".area-partitions .empty", { hasText: "has not joined its group" }).waitFor(WAIT);
  const lag = await page.locator(".figure", { hasText: "Lag" }).innerText();
  must(lag.includes("no partition is held") && !/\d/.test(lag), `without a partition the lag is shown as “${lag}”`);
  pipeline.joins([1, 4]);
  await reassigned(page, site, 2);
  await heard(page, "status", "Pipeline payments is running").waitFor({ ...WAIT, state: "attached" });
  await page.locator(".alarm", { hasText: "join its group" }).waitFor({ ...WAIT, state: "detached" });
}

async function failedPipeline({ page, world, site }) {
  await settle(page, "orders");
  world.pipeline("payments").fails(BROKEN);
  site.tell();
  // Whoever looks at another pipeline is told too, once.
  await heard(page, "alert", "Pipeline payments has failed").waitFor({ ...WAIT, state: "attached" });
  await page.locator('.tab[data-state="failed"]', { hasText: "payments" }).waitFor(WAIT);
  site.tell();
  await settle(page, "payments");
  const alarm = page.locator(".alarm.danger", { hasText: "Pipeline failed" });
  await alarm.waitFor(WAIT);
  must((await alarm.locator(".alarm-why").textContent()) === BROKEN, "the reason is not there in full");
  must((await heard(page, "alert", "Pipeline payments has failed").count()) === 1, "the failure is told more than once");
  const cut = await alarm.evaluate((element) => [element, ...element.querySelectorAll("*")].some((one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).overflow !== "visible"));
  must(!cut, "the reason is cut off");
  must((await sideways(page)) === null, await sideways(page));
  await contrast(page, ".alarm.danger .alarm-why, .alarm.danger strong, .alarm.danger .alarm-hint, .badge[data-state=failed]");
}

/** WCAG 2.2, 1.4.3: text has 4.5 to 1 against what is behind it. Canvas gives any CSS colour as sRGB. */
async function contrast(page, selector) {
  const worst = await page.evaluate((wanted) => {
    const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
    const rgba = (colour) => {
      context.clearRect(0, 0, 1, 1);
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
      return [...context.getImageData(0, 0, 1, 1).data];
    };
    const light = ([r, g, b]) => {
      const linear = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
      return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    };
    const ground = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const colour = rgba(getComputedStyle(at).backgroundColor);
        if (colour[3] === 255) return colour;
      }
      return [255, 255, 255, 255];
    };
    const found = [...document.querySelectorAll(wanted)].filter((element) => element.checkVisibility()).map((element) => {
      const pair = [light(rgba(getComputedStyle(element).color)), light(ground(element))];
      return { name: element.className || element.tagName, ratio: (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05) };
    });
    return found.sort((one, other) => one.ratio - other.ratio)[0] ?? null;
  }, selector);
  must(worst !== null, `nothing on the page is ${selector}`);
  must(worst.ratio >= 4.5, `${worst.name} has a contrast of ${worst.ratio.toFixed(2)} to 1; 4.5 is needed`);
}

async function othersGoOn({ page, world, site }) {
  world.pipeline("payments").fails(BROKEN);
  site.tell();
  await settle(page, "orders");
  must((await page.locator(".alarm", { hasText: "Pipeline failed" }).count()) === 0, "another pipeline's failure is shown as this one's");
  must((await page.locator('.title .badge[data-state="running"]').count()) === 1, "a pipeline beside a failed one is not shown as running");
  const total = () => page.locator(".figure-note").first().innerText();
  const before = await total();
  await page.waitForFunction((was) => document.querySelector(".figure-note").innerText !== was, before, WAIT);
  const states = await page.locator(".tab-state").allInnerTexts();
  must(states.join() === "running,failed,joining,failed", `the tabs say ${states.join()}`);
}

async function assignments({ page, world, site }) {
  const pipeline = world.pipeline("payments");
  pipeline.rebalance = null;
  pipeline.stalls = [];
  await settle(page, "payments");
  await reassigned(page, site, 6);
  const lag = async (id) => page.locator(`.cell[aria-label^="Partition ${id}:"]`).getAttribute("aria-label");
  // Each partition has a lag of its own that stands still, so that a cell with another's figures is found out.
  for (const one of pipeline.all) Object.assign(one, { paused: true, lag: 1_000 * (one.partition + 1) });
  const rate = pipeline.rate;
  pipeline.rate = 0;
  await page.locator('.cell[aria-label^="Partition payments/2:"]').focus();
  await page.evaluate(() => (document.activeElement.mark = "kept"));
  pipeline.assign([1, 2, 5]);
  await reassigned(page, site, 3);
  must((await cellIds(page)).join() === "payments/1,payments/2,payments/5", `after three went: ${await cellIds(page)}`);
  must(await page.evaluate(() => document.activeElement.mark === "kept"), "the cell that stayed was made anew and lost the focus");
  pipeline.assign([0, 1, 2, 3, 5]);
  await reassigned(page, site, 5);
  must((await cellIds(page)).join() === "payments/0,payments/1,payments/2,payments/3,payments/5", `after two came: ${await cellIds(page)}`);
  must(await page.evaluate(() => document.activeElement.mark === "kept"), "the cell that stayed lost the focus to those that came");
  for (const at of [0, 1, 2, 3, 5]) must((await lag(`payments/${at}`)).includes(`lag ${at + 1},000`), `partition ${at} is shown as ${await lag(`payments/${at}`)}`);
  must((await page.locator('.cell[tabindex="0"]').count()) === 1, "not exactly one cell is in the tab order");
  await page.keyboard.press("ArrowRight");
  must((await focused(page)).startsWith("Partition payments/3:"), `the right arrow leads to ${await focused(page)}`);
  pipeline.rate = rate;
}

async function vanishedWhileOpen({ page, world, site }) {
  const pipeline = world.pipeline("payments");
  pipeline.rebalance = null;
  await settle(page, "payments");
  await reassigned(page, site, 6);
  await page.locator('.cell[aria-label^="Partition payments/3:"]').click();
  await page.getByRole("button", { name: "Pause partition" }).focus();
  pipeline.assign([0, 1, 2, 4]);
  await reassigned(page, site, 4);
  await page.locator(".details").waitFor({ ...WAIT, state: "hidden" });
  await page.locator(".area-partitions .hint", { hasText: "payments/3 is no longer assigned here" }).waitFor(WAIT);
  must((await focused(page)).startsWith("Partition payments/4:"), `the focus went to “${await focused(page)}”`);
  pipeline.assign([]);
  await reassigned(page, site, 0);
  await page.locator(".area-partitions .empty", { hasText: "the group's other members hold them" }).waitFor(WAIT);
  must((await focused(page)).startsWith("Lag by partition"), `of an empty map the focus went to “${await focused(page)}”`);
}

async function stalls({ page, world, site }) {
  const pipeline = world.pipeline("orders");
  await settle(page, "orders");
  must(!(await page.locator(".area-stalls").isVisible()), "the list of stalls is there while nothing stands still");
  const nothing = { worker: null, topic: null, partition: null, offset: null, key: null, token: null };
  pipeline.stalls = [
    { ...nothing, kind: "fetch", lasted_s: 11 },
    { ...nothing, kind: "handler", worker: 2, topic: "orders", partition: 7, offset: 41_822, key: "00ab00ab00ab00ab", token: `<i>${"unbroken".repeat(12)}`, lasted_s: 83 },
  ];
  site.tell();
  const rows = page.locator(".stall");
  await rows.first().waitFor(WAIT);
  const [oldest, other] = await rows.allInnerTexts();
  for (const words of ["handler", "worker 2", "orders/7 at offset 41,822", "key hash 00ab00ab00ab00ab", `<i>${"unbroken".repeat(12)}`, "for 1 min 2"]) must(oldest.includes(words), `“${words}” is not in “${oldest}”`);
  must(other.includes("The fetch loop takes no step"), `the second row is “${other}”`);
  await heard(page, "status", "Pipeline orders: something stands still").waitFor({ ...WAIT, state: "attached" });
  await page.locator('.tab[data-state="stalled"]', { hasText: "orders" }).waitFor(WAIT);
  must((await sideways(page)) === null, await sideways(page));
  await contrast(page, ".stall *");
  pipeline.stalls = Array.from({ length: 40 }, (_, at) => ({ ...nothing, kind: "partition", topic: "orders", partition: 1, offset: at, lasted_s: 20 }));
  site.tell();
  await page.locator(".area-stalls", { hasText: "And 28 more." }).waitFor(WAIT);
  pipeline.stalls = [];
  site.tell();
  await page.locator(".area-stalls").waitFor({ ...WAIT, state: "hidden" });
}

async function producerInTrouble({ page, world, site }) {
  await settle(page, "orders");
  await page.locator(".area-producer", { hasText: "Straight to events-eu" }).waitFor(WAIT);
  world.producer.inTrouble(Date.now());
  site.tell();
  const panel = page.locator(".area-producer", { hasText: "ingest.orders-events-eu-central-1-production" });
  await panel.waitFor(WAIT);
  await page.waitForFunction(() => document.querySelectorAll(".area-producer").length === 1, null, WAIT);
  const said = await panel.innerText();
  const words = ["spilling", "The cluster is gone", "no space is left", "1020 MiB of 1.00 GiB", "12,345,678 left", "about 3 h 25 min", "breaker half open", "breaker open", "takes the records", "123,456,789", "switched from orders-events-eu", "<b>too large</b>"];
  for (const one of words) must(said.includes(one), `“${one}” is not in “${said}”`);
  must((await sideways(page)) === null, await sideways(page));
  const beyond = await panel.evaluate((element) => {
    const right = element.getBoundingClientRect().right;
    return [...element.querySelectorAll("*")].filter((one) => one.checkVisibility() && one.getBoundingClientRect().right > right).map((one) => one.className || one.tagName);
  });
  must(beyond.length === 0, `out of its box: ${beyond.slice(0, 5).join(", ")}`);
  // A figure that breaks reads as two.
  const broken = await panel.locator("dd").evaluateAll((all) => {
    const lines = (element) => {
      const range = document.createRange();
      range.selectNodeContents(element);
      return range.getClientRects().length;
    };
    return all.filter((one) => lines(one) !== 1).map((one) => one.textContent);
  });
  must(broken.length === 0, `broken over lines: ${broken.join(" ")}`);
  await contrast(page, ".area-producer p, .area-producer .badge, .area-producer dt, .area-producer dd, .area-producer li, .area-producer .label");
}

const widths = [
  { ...DESK, theme: "light", words: "at desk width, in light" },
  { ...DESK, theme: "dark", words: "at desk width, in dark" },
  { ...PHONE, theme: "light", words: "at phone width, in light" },
  { ...PHONE, theme: "dark", words: "at phone width, in dark" },
];

export const states = [
  { name: "each pipeline says whether it reads the log or which cluster, and as whom", ...DESK, run: sources },
  { name: "a pipeline that waits for its cluster says so and why, and is told of", ...DESK, run: joining },
  ...widths.map(({ words, ...size }) => ({ name: `a failed pipeline tells its whole reason ${words}`, ...size, run: failedPipeline })),
  ...widths.map(({ words, ...size }) => ({ name: `a producer in trouble is told whole, and nothing leaves its box ${words}`, ...size, run: producerInTrouble })),
  { name: "beside a failed pipeline the others go on", ...DESK, run: othersGoOn },
  { name: "partitions come and go without mixing cells or losing the focus", ...DESK, run: assignments },
  { name: "a partition that goes while it is looked at closes, and the focus stays near", ...DESK, run: vanishedWhileOpen },
  { name: "stalls are listed by name and place, oldest first", ...DESK, run: stalls },
  { name: "stalls fit a phone, in dark", ...PHONE, theme: "dark", run: stalls },
];
