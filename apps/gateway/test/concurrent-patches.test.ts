import { describe, expect, it } from "vitest";
import { postgresKind, sqliteKind, upstreamInput } from "./support/registries.ts";
import { startTestGateway } from "./support/test-gateway.ts";

const rounds = 8;

describe.each([
  ["SQLite", sqliteKind],
  ["PostgreSQL, through two replicas", postgresKind],
] as const)("parallel PATCHes of one upstream, on %s", (_name, start) => {
  it("each have their part: place, credentials, tags and environment", async () => {
    const kind = await start();
    try {
      const config = { database: { url: await kind.url() }, classifier: { enabled: false } };
      await using one = await startTestGateway(config);
      // A SQLite file has one connection in a process.
      const own =
        kind.name === "SQLite" ? undefined : await startTestGateway(config, { dataDir: one.dataDir });
      const other = own ?? one;
      try {
        const { id } = await one.core.registry.createUpstream(upstreamInput("x"));
        const path = `/gateways/${id}`;
        for (let round = 0; round < rounds; round++) {
          const url = `http://localhost:1/mcp?n=${round}`;
          const answers = await Promise.all([
            one.rest("PATCH", path, { url }),
            other.rest("PATCH", path, { auth: { type: "bearer", token: `t${round}` } }),
            other.rest("PATCH", path, { tags: [`${round}`] }),
            one.rest("PATCH", path, { env: { N: `${round}` } }),
          ]);
          expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
          expect(await other.core.registry.upstream(id)).toMatchObject({
            definition: { url, tags: [`${round}`] },
            credentials: { headers: { authorization: `Bearer t${round}` }, env: { N: `${round}` } },
          });
        }
      } finally {
        await own?.[Symbol.asyncDispose]();
      }
    } finally {
      await kind.close();
    }
  });
});
