/** The shapes of the dead-letter calls of the admin API. */

export interface DeadLetterId {
  partition: number;
  offset: number;
}

/** What is null stands in no header of the record: it came into the topic by another way. */
export interface DeadLetter extends DeadLetterId {
  key: string | null;
  value_preview: string;
  token: string | null;
  error: string | null;
  class: string | null;
  attempts: number | null;
  first_ms: number | null;
  last_ms: number | null;
  origin: { topic: string; partition: number; offset: number } | null;
}

export interface DeadLetterPage {
  items: DeadLetter[];
  /** Where the following page starts; null on the last page. */
  next: string | null;
}

/** One letter whole: its value as text, or as Base64 where it is none. */
export interface DeadLetterDetail extends DeadLetter {
  headers: [name: string, value: string][];
  value?: string;
  value_base64?: string;
}

export interface RedriveProgress {
  running: boolean;
  /** How many letters are meant. */
  count: number;
  redriven: number;
  failed: number;
  error: string | null;
}

/** Which dead letters a redrive or a purge means. */
export type DeadLetterChoice = { ids: DeadLetterId[] } | { all: true };
