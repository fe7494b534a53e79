import { startPostgres } from "@gatewright/testkit";
import { describe, expect, it } from "vitest";
import { caseTable } from "../src/case-table.ts";
import { Ledger } from "../src/ledger.ts";
import { keepEvidence, readEvidence } from "../src/write-evidence.ts";

describe("the ledger", () => {
  it("finds acknowledged writes that are missing, and writes that are there too often", () => {
    const ledger = new Ledger();
    const fates = ["acknowledged", "refused", "unknown"] as const;
    for (const fate of fates) for (const times of [0, 1, 2]) ledger.note(`${fate} ${times}`, fate);
    const effects = new Map(fates.flatMap((fate) => [1, 2].map((times) => [`${fate} ${times}`, times])));
    expect(ledger.settle(effects)).toEqual({
      writes: 9,
      acknowledged: 3,
      refused: 3,
      unknown: 3,
      lost: 1,
      doubled: 1 + 1 + 2 + 1,
    });
    expect(ledger.settle(new Map([...effects, ["never made", 1]])).doubled).toBe(6);
  });

  it("does not let an unknown write that took effect make up for an acknowledged one that is gone", () => {
    const ledger = new Ledger();
    ledger.note("a", "acknowledged");
    ledger.note("b", "acknowledged");
    ledger.note("c", "unknown");
    const effects = new Map([
      ["a", 1],
      ["c", 1],
    ]);
    expect(ledger.settle(effects)).toMatchObject({ lost: 1, doubled: 0 });
  });
});

describe("the evidence of writes", () => {
  it("has a row for each change that was committed, and finds a revision that says otherwise", async () => {
    await using server = await startPostgres();
    await server.query("create table servers (id text primary key, definition text, revision bigint)");
    await server.query("insert into servers values ('x', '{}', 1), ('y', '{}', 1)");
    await keepEvidence(server);
    const change = (id: string, write: string) => [
      `update servers set revision = revision + 1 where id = '${id}'`,
      `update servers set definition = '{"description": "${write}"}' where id = '${id}'`,
    ];
    const inTransaction = async (statements: readonly string[], end: string) => {
      const client = await server.client();
      for (const statement of ["begin", ...statements, end]) await client.query(statement);
      await client.end();
    };
    await inTransaction(change("x", "1"), "commit");
    await inTransaction(change("x", "2"), "rollback");
    await inTransaction(change("y", "3"), "commit");
    await inTransaction(change("y", "3"), "commit");
    const effects = new Map([
      ["1", 1],
      ["3", 2],
    ]);
    expect(await readEvidence(server)).toEqual({ effects, problems: [] });
    await server.query("update servers set revision = 2 where id = 'y'");
    expect((await readEvidence(server)).problems).toEqual(["record y: revision 2, 2 writes"]);
  });
});

describe("the table of the cases", () => {
  it("has all thirteen, says which held, and which were not run", () => {
    const result = { title: "t", seconds: 1 } as const;
    const table = caseTable(
      [
        { ...result, id: "CL-01", level: "package", passed: true },
        { ...result, id: "CL-01", level: "gateway", passed: true },
        { ...result, id: "TX-03", level: "gateway", passed: false },
      ],
      [{ test: "black box > CL-01 stopped", what: "liveness p99 ms", value: 3.4 }],
    ).split("\n");
    expect(table).toHaveLength(15);
    expect(table[2]).toMatch(/^CL-01 .* 1\/1 +1\/1 +2\.0 +yes +liveness p99 ms 3$/);
    expect(table[3]).toMatch(/^CL-02 .* - +- +0\.0 +-$/);
    expect(table[14]).toMatch(/^TX-03 .* - +0\/1 +1\.0 +NO$/);
  });
});
