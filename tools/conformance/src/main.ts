// `npm run conformance`: the public suite against our fixture server, directly and through a gateway, as a table.
import { conformanceCases, runConformance, startEverythingServer } from "@gatewright/mcp-fixtures";
import { startGateway } from "@gatewright/testkit";
import { type Cell, cellOf, renderMatrix, type Way } from "./matrix.ts";

const matrix = new Map<string, Map<Way, Cell>>();
let unexpected = 0;

function note(client: string, way: Way, cell: Cell, expected: readonly string[]): void {
  const row = matrix.get(client) ?? new Map<Way, Cell>();
  matrix.set(client, row.set(way, cell));
  const same = cell.failed.length === expected.length && cell.failed.every((name) => expected.includes(name));
  if (!same) unexpected++;
  process.stderr.write(`${client} ${way}: ${cell.passed} of ${cell.of}\n`);
}

for (const requirements of ["2025-11-25", "2026-07-28"] as const) {
  await using server = await startEverythingServer();
  note(requirements, "direct", cellOf(await runConformance({ url: server.url, requirements })), []);
}
for (const { front, era, way, failed, expectedFailures } of conformanceCases) {
  await using server = await startEverythingServer({ era });
  await using gateway = await startGateway({ config: { mcpServers: { everything: { url: server.url } } } });
  const [record] = (await (await fetch(`${gateway.url}/api/gateways?name=everything`)).json()) as [
    { id: string },
  ];
  await fetch(`${gateway.url}/gateways/${record.id}/refresh`, { method: "POST" });
  const url = `${gateway.url}/servers/${record.id}/mcp`;
  const report = await runConformance({
    url,
    requirements: front,
    ...(expectedFailures && { expectedFailures }),
  });
  note(front, way, cellOf(report), failed);
}
process.stdout.write(`${renderMatrix(matrix)}\n`);
process.exitCode = unexpected === 0 ? 0 : 1;
