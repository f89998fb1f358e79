/** `GET /v1/pipelines/{name}/limits`, as far as the page shows it; changed by merge patch (RFC 7396). */
export interface Limits {
  rate: { per_second: number; burst: number | null } | null;
  concurrency: { limit: number };
}

export interface LimitsPatch {
  rate?: { per_second?: number; burst?: number };
  concurrency?: { limit: number };
}
