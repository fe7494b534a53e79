import type { PolledServer, PollSchedule, PollType } from "@gatewright/server-classifier";
import type { UpstreamRecord } from "../registry/records.ts";

/** A poll that is due. */
export interface DuePoll<R> {
  readonly record: R;
  readonly pollType: PollType;
  /** Since when, on the schedule's clock; 0 is before everything else. */
  readonly dueAt: number;
}

/**
 * The polls that are due, the most overdue first: where the schedule's rate cap cannot grant all of them, each has its
 * turn.
 */
export function duePolls<R extends Pick<UpstreamRecord, "state">>(
  schedule: Pick<PollSchedule, "shouldPoll" | "explain">,
  records: Iterable<R>,
  serverOf: (record: R) => PolledServer,
): DuePoll<R>[] {
  const due: DuePoll<R>[] = [];
  for (const record of records) {
    const server = serverOf(record);
    for (const pollType of dueTypes(schedule, record.state, server))
      due.push({ record, pollType, dueAt: schedule.explain(server, pollType).dueAt });
  }
  return due.sort((a, b) => a.dueAt - b.dueAt);
}

/** What is due of an upstream. Offline ones are only looked for; a first listing says as much as a health check. */
function dueTypes(
  schedule: Pick<PollSchedule, "shouldPoll" | "explain">,
  state: UpstreamRecord["state"],
  server: PolledServer,
): PollType[] {
  const due: PollType[] = [];
  if (state !== "unreachable" && schedule.shouldPoll(server, "tool_discovery")) due.push("tool_discovery");
  if (state === "unknown" || !schedule.shouldPoll(server, "health")) return due;
  const { lastPolledAt, failures } = schedule.explain(server, "tool_discovery");
  if (state === "unreachable" || lastPolledAt > 0 || failures > 0) due.push("health");
  return due;
}
