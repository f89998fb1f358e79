/** Where a pipeline's records come from, in words. */

import type { Pipeline } from "../wire/overview.ts";

export const LOG = "log";

export function onKafka(pipeline: Pipeline): boolean {
  return pipeline.source !== LOG;
}

export function sourceOf(pipeline: Pipeline): string {
  return onKafka(pipeline) ? `Kafka: ${pipeline.source}` : "Embedded log";
}

/** How it belongs to its group; null on the log, where nothing is to be joined. */
export function memberOf({ member }: Pipeline): string | null {
  if (!member) return null;
  const instance = member.instance_id === null ? "" : `, static instance ${member.instance_id}`;
  return `Client ${member.client_id}${instance}, ${member.joined ? "a member of its group" : "not a member of its group now"}`;
}

/** Why a pipeline shows no partition. */
export function unassigned(pipeline: Pipeline): string {
  if (pipeline.state === "joining") return "No partition yet: the pipeline has not joined its group.";
  if (pipeline.state === "failed") return "No partition: the pipeline has failed.";
  if (pipeline.state === "stopped") return "No partition: the pipeline has stopped.";
  return onKafka(pipeline) ? "No partition is assigned: the group's other members hold them." : "No partition is assigned.";
}
