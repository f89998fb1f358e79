/** An answer that says no, as `application/problem+json` (RFC 9457) where Seawall wrote it. */

export class Problem extends Error {
  readonly status: number;
  readonly title: string;
  readonly detail: string;

  constructor(status: number, title: string, detail: string) {
    super(detail ? `${title}: ${detail}` : title);
    this.name = "Problem";
    this.status = status;
    this.title = title;
    this.detail = detail;
  }

  /** Reads title and detail; anything that is no problem document is shown by its status alone. */
  static parse(status: number, body: string): Problem {
    try {
      const document: unknown = JSON.parse(body);
      if (typeof document === "object" && document !== null) {
        const { title, detail } = document as { title?: unknown; detail?: unknown };
        if (typeof title === "string") return new Problem(status, title, typeof detail === "string" ? detail : "");
      }
    } catch {
      // Not JSON: a proxy in between may answer in HTML.
    }
    return new Problem(status, `HTTP status ${status}`, "");
  }
}

/** What to show for any failure of a call. */
export function asProblem(error: unknown): { title: string; detail: string } {
  if (error instanceof Problem) return error;
  if (error instanceof TypeError) return { title: "Seawall does not answer", detail: "The request did not reach it." };
  return { title: "The call failed", detail: error instanceof Error ? error.message : String(error) };
}
