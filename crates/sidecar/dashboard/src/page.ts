/** The page: which panels there are, and that they are drawn when something changed. */

import type { Context } from "./context.ts";
import { DeadLettersPanel } from "./deadletters/panel.ts";
import { attribute, h, show, text } from "./dom/h.ts";
import { noticeRegion } from "./dom/notice.ts";
import { clock, elapsed } from "./format/time.ts";
import { Alarms } from "./panels/alarms.ts";
import { Announcer } from "./panels/announcer.ts";
import { ClaimsPanel } from "./panels/claims.ts";
import { GuardPanel } from "./panels/guard.ts";
import { Headline } from "./panels/headline.ts";
import { IngestPanel } from "./panels/ingest.ts";
import { LanesPanel } from "./panels/lanes.ts";
import { LatencyPanel } from "./panels/latency.ts";
import { LedgerPanel } from "./panels/ledger.ts";
import { Masthead } from "./panels/masthead.ts";
import { Partitions } from "./panels/partitions.ts";
import { ProducersPanel } from "./panels/producers.ts";
import { StallsPanel } from "./panels/stalls.ts";
import { Tabs } from "./panels/tabs.ts";
import { Throughput } from "./panels/throughput.ts";
import { Title } from "./panels/title.ts";
import { TotalsPanel } from "./panels/totals.ts";
import type { Model, View } from "./state/model.ts";

interface PipelinePanel {
  element: HTMLElement;
  update(view: View): void;
}

export class Page {
  private readonly model: Model;
  private readonly masthead: Masthead;
  private readonly tabs: Tabs;
  private readonly stale = h("p", { class: "stale", hidden: true });
  private readonly empty = h("p", { class: "empty page-empty" });
  private readonly panels: PipelinePanel[];
  private readonly ingest = new IngestPanel();
  private readonly producers = new ProducersPanel();
  private readonly announcer = new Announcer();
  private readonly tabpanel: HTMLElement;

  constructor(root: HTMLElement, model: Model, context: Context, retry: () => void) {
    this.model = model;
    this.masthead = new Masthead(retry);
    this.tabs = new Tabs((name) => {
      location.hash = `#/${encodeURIComponent(name)}`;
      this.model.select(name);
      this.draw(Date.now());
    });
    const above = [new Title(context), new Alarms(), new StallsPanel(), new Headline()];
    const grid = [new Throughput(), new LatencyPanel(), new Partitions(context), new GuardPanel(context), new LanesPanel(), new LedgerPanel(), new ClaimsPanel(), new TotalsPanel()];
    const letters = new DeadLettersPanel(context);
    this.panels = [...above, ...grid, letters];
    const body = h("div", { class: "grid" }, ...grid.map((panel) => panel.element), this.ingest.element, letters.element);
    this.tabpanel = h("div", { id: "pipeline", role: "tabpanel" }, ...above.map((panel) => panel.element), body);
    const main = h("main", { id: "main", tabindex: -1 }, this.empty, this.tabpanel, this.producers.element);
    root.append(this.masthead.element, this.stale, this.tabs.element, main, noticeRegion(), this.announcer.element);
  }

  draw(now_ms: number): void {
    const { model } = this;
    const since = model.staleSince(now_ms);
    show(this.stale, since !== null);
    if (since !== null) text(this.stale, `Stale since ${clock(since)}: the figures below are ${elapsed((now_ms - since) / 1000)} old.`);
    for (const part of [this.tabpanel, this.producers.element]) attribute(part, "data-stale", since === null ? null : "");
    this.masthead.update(model, now_ms);
    this.tabs.update(model);
    const view = model.view();
    show(this.tabs.element, (model.snapshot?.pipelines.length ?? 0) > 1);
    show(this.tabpanel, view !== null);
    show(this.empty, view === null);
    text(this.empty, model.snapshot ? "No pipeline is configured." : "Waiting for the first word from Seawall…");
    attribute(this.tabpanel, "aria-label", view ? `Pipeline ${view.pipeline.name}` : null);
    document.title = view ? `${view.pipeline.name} · Seawall` : "Seawall";
    if (view) for (const panel of this.panels) panel.update(view);
    this.ingest.update(model);
    this.producers.update(model);
    this.announcer.update(model.snapshot?.pipelines ?? []);
  }
}
