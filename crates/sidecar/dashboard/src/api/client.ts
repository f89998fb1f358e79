/** The calls of the admin API that the page makes. Addresses are relative, so that a path prefix works. */

import type { DeadLetterChoice, DeadLetterDetail, DeadLetterId, DeadLetterPage, RedriveProgress } from "../wire/deadletters.ts";
import type { Limits, LimitsPatch } from "../wire/limits.ts";
import type { Snapshot } from "../wire/overview.ts";
import { Problem } from "./problem.ts";
import { token } from "./token.ts";

export class Unauthorized extends Problem {}

const CALL_MS_MAX = 15_000;

export class Api {
  overview(): Promise<Snapshot> {
    return this.json("GET", "v1/overview") as Promise<Snapshot>;
  }

  async events(signal: AbortSignal): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const response = await this.send("v1/events", { signal, headers: { accept: "text/event-stream" } });
    if (!response.body) throw new Problem(response.status, "The event stream is empty", "");
    return response.body;
  }

  setPaused(pipeline: string, paused: boolean, partition?: { topic: string | null; partition: number }): Promise<unknown> {
    const query = new URLSearchParams();
    if (partition) query.set("partition", String(partition.partition));
    if (partition?.topic) query.set("topic", partition.topic);
    return this.json("POST", `${path(pipeline)}/${paused ? "pause" : "resume"}${suffix(query)}`, {});
  }

  limits(pipeline: string): Promise<Limits> {
    return this.json("GET", `${path(pipeline)}/limits`) as Promise<Limits>;
  }

  setLimits(pipeline: string, patch: LimitsPatch): Promise<unknown> {
    return this.json("PATCH", `${path(pipeline)}/limits`, patch);
  }

  deadLetters(pipeline: string, page: { limit: number; after?: string; q?: string }): Promise<DeadLetterPage> {
    const query = new URLSearchParams({ limit: String(page.limit) });
    if (page.after !== undefined) query.set("after", page.after);
    if (page.q) query.set("q", page.q);
    return this.json("GET", `${path(pipeline)}/dead-letters${suffix(query)}`) as Promise<DeadLetterPage>;
  }

  deadLetter(pipeline: string, id: DeadLetterId): Promise<DeadLetterDetail> {
    return this.json("GET", `${path(pipeline)}/dead-letters/${id.partition}/${id.offset}`) as Promise<DeadLetterDetail>;
  }

  redrive(pipeline: string, choice: DeadLetterChoice, rate: number): Promise<RedriveProgress> {
    return this.json("POST", `${path(pipeline)}/dead-letters/redrive`, { ...choice, rate }) as Promise<RedriveProgress>;
  }

  redriveProgress(pipeline: string): Promise<RedriveProgress> {
    return this.json("GET", `${path(pipeline)}/dead-letters/redrive`) as Promise<RedriveProgress>;
  }

  purge(pipeline: string, choice: DeadLetterChoice): Promise<{ count: number }> {
    return this.json("POST", `${path(pipeline)}/dead-letters/purge`, { confirm: true, ...choice }) as Promise<{ count: number }>;
  }

  private async json(method: string, address: string, body?: unknown): Promise<unknown> {
    const response = await this.send(address, {
      method,
      signal: AbortSignal.timeout(CALL_MS_MAX),
      headers: { accept: "application/json", ...(body === undefined ? {} : { "content-type": "application/json" }) },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await response.text();
    return text === "" ? null : JSON.parse(text);
  }

  private async send(address: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    const bearer = token();
    if (bearer !== null) headers.set("authorization", `Bearer ${bearer}`);
    const response = await fetch(address, { ...init, headers, cache: "no-store", credentials: "same-origin" });
    if (response.ok) return response;
    const problem = Problem.parse(response.status, await response.text());
    throw response.status === 401 ? new Unauthorized(401, problem.title, problem.detail) : problem;
  }
}

function path(pipeline: string): string {
  return `v1/pipelines/${encodeURIComponent(pipeline)}`;
}

function suffix(query: URLSearchParams): string {
  const text = query.toString();
  return text === "" ? "" : `?${text}`;
}
