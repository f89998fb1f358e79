/**
 * Reads server-sent events from text as it arrives (WHATWG HTML, section 9.2.6).
 *
 * The browser's own EventSource cannot send an Authorization header, so the page reads the
 * stream through fetch and parses it here. Line ends may be LF, CR or CRLF, and any of them
 * may be torn between two chunks.
 */

export interface SseEvent {
  name: string;
  data: string;
}

/** A line or event longer than this is no snapshot: the stream is refused rather than buffered. */
export const EVENT_CHARS_MAX = 32 * 1024 * 1024;

export class SseParser {
  private line = "";
  private name = "";
  private data: string[] = [];
  private size = 0;
  private afterCarriageReturn = false;
  private atStart = true;

  /** Takes the next piece of the stream and returns the events that it completes. */
  push(chunk: string): SseEvent[] {
    const events: SseEvent[] = [];
    let text = chunk;
    if (this.atStart && text.length > 0) {
      this.atStart = false;
      if (text.startsWith("\uFEFF")) text = text.slice(1);
    }
    let from = 0;
    for (let at = 0; at < text.length; at += 1) {
      const char = text[at];
      if (char === "\n" && this.afterCarriageReturn) {
        this.afterCarriageReturn = false;
        from = at + 1;
        continue;
      }
      this.afterCarriageReturn = char === "\r";
      if (char !== "\n" && char !== "\r") continue;
      this.endLine(this.line + text.slice(from, at), events);
      this.line = "";
      from = at + 1;
    }
    this.line += text.slice(from);
    if (this.line.length + this.size > EVENT_CHARS_MAX) {
      throw new RangeError(`an event of the stream is longer than ${EVENT_CHARS_MAX} characters`);
    }
    return events;
  }

  private endLine(line: string, events: SseEvent[]): void {
    if (line === "") {
      if (this.data.length > 0) events.push({ name: this.name || "message", data: this.data.join("\n") });
      this.name = "";
      this.data = [];
      this.size = 0;
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const rest = colon < 0 ? "" : line.slice(colon + 1);
    const value = rest.startsWith(" ") ? rest.slice(1) : rest;
    if (field === "event") this.name = value;
    if (field === "data") {
      this.data.push(value);
      this.size += value.length;
    }
  }
}
