/**
 * Keeps the page fed: an overview at once, then the event stream, and after any end of it the
 * same again, with backoff. A missing token stops it until one is given.
 */

import { Unauthorized, type Api } from "../api/client.ts";
import type { Snapshot } from "../wire/overview.ts";
import { backoff_ms } from "./backoff.ts";
import { SseParser } from "./sse.ts";

export type Connection =
  | { kind: "connecting" }
  | { kind: "live" }
  | { kind: "waiting"; reason: string }
  | { kind: "locked" };

/** Seawall speaks each second; this much silence means that the connection is gone. */
const SILENCE_MS_MAX = 10_000;

export interface LiveEvents {
  snapshot(snapshot: Snapshot): void;
  connection(connection: Connection): void;
}

export class Live {
  private wake: (() => void) | null = null;
  private readonly api: Api;
  private readonly events: LiveEvents;

  constructor(api: Api, events: LiveEvents) {
    this.api = api;
    this.events = events;
  }

  /** Tries again now: a token was given, or the operator asked. */
  retry(): void {
    this.wake?.();
  }

  async run(): Promise<never> {
    for (let attempt = 0; ; attempt += 1) {
      this.events.connection({ kind: "connecting" });
      try {
        this.events.snapshot(await this.api.overview());
        await this.follow(() => {
          attempt = 0;
        });
        await this.pause("the stream ended", backoff_ms(attempt, Math.random()));
      } catch (error) {
        if (error instanceof Unauthorized) {
          this.events.connection({ kind: "locked" });
          await this.sleep(null);
          attempt = -1;
        } else {
          await this.pause(describe(error), backoff_ms(attempt, Math.random()));
        }
      }
    }
  }

  private async follow(heard: () => void): Promise<void> {
    const silence = new AbortController();
    let timer = 0;
    const rearm = () => {
      clearTimeout(timer);
      timer = window.setTimeout(() => silence.abort(new Error("nothing heard for 10 s")), SILENCE_MS_MAX);
    };
    rearm();
    try {
      const body = await this.api.events(silence.signal);
      const reader = body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new SseParser();
      for (;;) {
        const { value, done } = await reader.read();
        if (done) return;
        rearm();
        for (const event of parser.push(value)) {
          if (event.name !== "snapshot") continue;
          heard();
          this.events.connection({ kind: "live" });
          this.events.snapshot(JSON.parse(event.data) as Snapshot);
        }
      }
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }

  private async pause(reason: string, ms: number): Promise<void> {
    this.events.connection({ kind: "waiting", reason });
    await this.sleep(ms);
  }

  /** Until `retry`, or for `ms` unless null. */
  private sleep(ms: number | null): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === null ? 0 : window.setTimeout(() => this.wake?.(), ms);
      this.wake = () => {
        clearTimeout(timer);
        this.wake = null;
        resolve();
      };
    });
  }
}

function describe(error: unknown): string {
  if (error instanceof TypeError) return "Seawall does not answer";
  return error instanceof Error ? error.message : String(error);
}
