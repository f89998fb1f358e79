/** Starts the page. */

import "./styles/index.css";
import { Api } from "./api/client.ts";
import type { Context } from "./context.ts";
import { TokenDialog } from "./dialogs/token.ts";
import { Page } from "./page.ts";
import { Model } from "./state/model.ts";
import { Live } from "./stream/live.ts";
import { applyTheme, theme } from "./theme.ts";

applyTheme(theme());

const root = document.getElementById("app");
if (!root) throw new Error("the page has no element #app");

const model = new Model();
const context: Context = { api: new Api(), unlock: () => tokens.open() };
const tokens = new TokenDialog(context, () => live.retry());
const page = new Page(root, model, context, () => (model.connection.kind === "locked" ? tokens.open() : live.retry()));

/** A hidden page keeps its history and draws when it is looked at again. */
function draw(): void {
  if (!document.hidden) page.draw(Date.now());
}

function selectFromAddress(): void {
  const name = location.hash.replace(/^#\/?/, "");
  try {
    model.select(name === "" ? null : decodeURIComponent(name));
  } catch {
    model.select(null); // a hash that is no percent-encoding names no pipeline
  }
  draw();
}

const live = new Live(context.api, {
  snapshot(snapshot) {
    model.take(snapshot, Date.now());
    draw();
  },
  connection(connection) {
    model.connection = connection;
    if (connection.kind === "locked") tokens.open();
    draw();
  },
});

addEventListener("hashchange", selectFromAddress);
document.addEventListener("visibilitychange", draw);
setInterval(draw, 1000); // so that the age of what is shown counts on while nothing arrives
selectFromAddress();
void live.run();
