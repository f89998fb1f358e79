/** Which dead letters are ticked. */

import type { DeadLetterId } from "../wire/deadletters.ts";

export class Selection {
  private readonly chosen = new Map<string, DeadLetterId>();

  set(id: DeadLetterId, on: boolean): void {
    if (on) this.chosen.set(keyOf(id), { partition: id.partition, offset: id.offset });
    else this.chosen.delete(keyOf(id));
  }

  has(id: DeadLetterId): boolean {
    return this.chosen.has(keyOf(id));
  }

  clear(): void {
    this.chosen.clear();
  }

  get size(): number {
    return this.chosen.size;
  }

  ids(): DeadLetterId[] {
    return [...this.chosen.values()].sort((a, b) => a.partition - b.partition || a.offset - b.offset);
  }
}

export function keyOf(id: DeadLetterId): string {
  return `${id.partition}/${id.offset}`;
}
