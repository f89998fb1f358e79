/** The shape of `GET /v1/overview` and of each `snapshot` event of `GET /v1/events`. */

export interface Snapshot {
  at_ms: number;
  version: string;
  uptime_s: number;
  panics_total: number;
  pipelines: Pipeline[];
  /** Absent before there were any. */
  producers?: Producer[];
  ingest: Ingest;
}

export type PipelineState = "joining" | "running" | "paused" | "draining" | "stopped" | "failed";

export interface Pipeline {
  name: string;
  /** `log`, or the name of a Kafka cluster. */
  source: string;
  /** Null where the source is the log. */
  member: Member | null;
  topics: string[];
  group: string;
  ordering: string;
  state: PipelineState;
  /** What it waits for while it is joining, why it has failed, else null. */
  fault: string | null;
  target: string;
  totals: Totals;
  in_flight: number;
  lanes: Lanes;
  latency_seconds: Latency;
  queue: Queue;
  guard: Guard;
  partitions: Partition[];
  stalls: Stall[];
  dead_letters: { topic: string; count: number };
  claims: Claims | null;
}

export interface Member {
  client_id: string;
  instance_id: string | null;
  joined: boolean;
}

/** What the watchdog found standing still; null where it has no such part. */
export interface Stall {
  kind: "runtime" | "fetch" | "worker" | "handler" | "partition";
  worker: number | null;
  topic: string | null;
  partition: number | null;
  offset: number | null;
  /** The hash of the record's key. */
  key: string | null;
  token: string | null;
  lasted_s: number;
}

export interface Totals {
  fetched: number;
  acked: number;
  retried: number;
  dead_lettered: number;
  deferred: number;
  refused: number;
  panics: number;
  duplicates: number;
  timeouts: number;
}

export interface Lanes {
  ready: number;
  busy: number;
  parked: number;
  overflowed: number;
}

/** Null where nothing was measured yet. */
export interface Latency {
  p50: number | null;
  p90: number | null;
  p99: number | null;
  max: number | null;
}

export interface Queue {
  records: number;
  bytes: number;
  records_max: number;
  bytes_max: number;
}

export interface Guard {
  mode: string;
  rate: { per_second: number; burst: number } | null;
  concurrency: { limit: number; used: number; waiting: number };
  adaptive: { limit: number; min: number; max: number } | null;
  breaker: { state: "closed" | "open" | "half_open"; failure_ratio: number; opens: number } | null;
  refusals: Refusals;
}

export interface Refusals {
  rate: number;
  concurrency: number;
  adaptive: number;
  breaker: number;
}

export interface Partition {
  topic: string;
  partition: number;
  generation: number;
  paused: boolean;
  watermark: number;
  next: number;
  end: number;
  lag: number;
  in_flight: number;
  parked: number;
  parked_keys: number;
  ledger: Ledger;
}

export interface Ledger {
  fetched: number;
  acked: number;
  dead_lettered: number;
  deferred: number;
  parked: number;
  in_flight: number;
  imbalance: number;
}

export interface Claims {
  store: string;
  claimed: number;
  done: number;
  granted: number;
  held: number;
  duplicates: number;
  fenced: number;
}

/** A recoverable producer: what stands between ingest, or dead letters, and a Kafka cluster. */
export interface Producer {
  name: string;
  use: "ingest" | "letters";
  durability: string;
  state: "direct" | "buffering" | "spilling" | "replaying";
  /** The cluster that takes the records. */
  active: string | null;
  /** The most preferred first. */
  sinks: ProducerSink[];
  memory: { bytes: number; bytes_max: number; records: number };
  spill: { dir: string; bytes: number; bytes_max: number; waiting_records: number; waiting_bytes: number; trouble: string | null };
  /** `left_s` is null while nothing moves. */
  replay: { delivered: number; left_s: number | null };
  totals: { switches: number; full: number; timed_out: number; refused: number; unkept: number };
  /** Oldest first. */
  events: ProducerEvent[];
}

export interface ProducerSink {
  name: string;
  breaker: "closed" | "open" | "half_open";
  records: { direct: number; buffer: number; spill: number; replay: number };
}

export interface ProducerEvent {
  at_ms: number;
  what: "state" | "switched" | "spill_trouble" | "refused";
  from?: string;
  to?: string;
  why?: string;
  records?: number;
}

export interface Ingest {
  accepted: number;
  refused: { rate: number; concurrency: number; full: number; invalid: number };
}
