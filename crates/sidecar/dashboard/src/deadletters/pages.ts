/** The dead letters loaded so far, and how to load more. Only the newest request may write. */

import type { Api } from "../api/client.ts";
import type { DeadLetter } from "../wire/deadletters.ts";

/** Few at first: the list stands at the foot of a page that has more to say. */
export const FIRST_SIZE = 10;
const MORE_SIZE = 50;

export class Pages {
  items: DeadLetter[] = [];
  next: string | null = null;
  private serial = 0;
  private readonly api: Api;

  constructor(api: Api) {
    this.api = api;
  }

  clear(): void {
    this.serial += 1;
    this.items = [];
    this.next = null;
  }

  /** Loads the first page anew. False when a newer request overtook this one. */
  async reload(pipeline: string, q: string): Promise<boolean> {
    const serial = (this.serial += 1);
    const page = await this.api.deadLetters(pipeline, { limit: FIRST_SIZE, q });
    if (serial !== this.serial) return false;
    this.items = page.items;
    this.next = page.next;
    return true;
  }

  async more(pipeline: string, q: string): Promise<boolean> {
    if (this.next === null) return false;
    const serial = (this.serial += 1);
    const page = await this.api.deadLetters(pipeline, { limit: MORE_SIZE, after: this.next, q });
    if (serial !== this.serial) return false;
    this.items = [...this.items, ...page.items];
    this.next = page.next;
    return true;
  }
}
