import type { Selectable } from "kysely";
import type { ServerRecord } from "./records.ts";
import type { ServerInput } from "./registry.ts";
import type { Tables } from "./tables.ts";

/** The record that a row of `servers` stands for. */
export function toServer(row: Selectable<Tables["servers"]>): ServerRecord {
  return {
    id: row.id,
    name: row.name,
    ...JSON.parse(row.definition),
    revision: row.revision,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

/** A new row of `servers`. */
export function fromServer(id: string, input: ServerInput, nowMs: number): Selectable<Tables["servers"]> {
  return {
    id,
    name: input.name,
    name_lower: input.name.toLowerCase(),
    definition: serverDefinition(input),
    revision: 1,
    created_at: nowMs,
    updated_at: nowMs,
  };
}

/** The JSON of the columns that have no column of their own. */
export function serverDefinition(input: ServerInput): string {
  const { description, gatewayIds, names } = input;
  return JSON.stringify({ ...(description === undefined ? {} : { description }), gatewayIds, names });
}
