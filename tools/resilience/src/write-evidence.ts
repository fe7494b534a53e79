import type { PostgresServer } from "@gatewright/testkit";

/**
 * Has the database itself keep a row for each change of a virtual server that took effect, named by the description that
 * it has left. The row is of the change's own transaction: it is there if and only if the change was committed.
 */
export async function keepEvidence(server: PostgresServer): Promise<void> {
  await server.query("create table write_evidence (record text not null, write text not null)");
  await server.query(`create function keep_evidence() returns trigger language plpgsql as $$ begin
    insert into write_evidence values (new.id, new.definition::jsonb ->> 'description');
    return null; end $$`);
  await server.query(`create trigger keep_evidence after update of definition on servers
    for each row execute function keep_evidence()`);
}

/** What the evidence says at the end. */
export interface Evidence {
  /** How often each write took effect. */
  readonly effects: ReadonlyMap<string, number>;
  /** Records whose revision tells of another number of writes than there is evidence of. */
  readonly problems: readonly string[];
}

/** Reads what was kept since {@link keepEvidence}, before which no record may have been changed. */
export async function readEvidence(server: PostgresServer): Promise<Evidence> {
  const writes = await server.query<{ write: string; times: number }>(
    "select write, count(*)::int as times from write_evidence group by write",
  );
  const torn = await server.query<{ id: string; revision: string; rows: number }>(
    `select id, revision::text as revision, count(record)::int as rows
     from servers left join write_evidence on record = id
     group by id, revision having revision - 1 <> count(record)`,
  );
  return {
    effects: new Map(writes.map(({ write, times }) => [write, times])),
    problems: torn.map(({ id, revision, rows }) => `record ${id}: revision ${revision}, ${rows} writes`),
  };
}
