// `npm run conformance`: the public suite against our fixture server, directly and through a gateway, as a table.
// `-- 2025-11-25` or `-- 2026-07-28`: that client alone.
import {
  type ConformanceCase,
  type ConformanceReport,
  checkDifferences,
  conformanceCases,
  runConformance,
  startEverythingServer,
} from "@gatewright/mcp-fixtures";
import { startGateway } from "@gatewright/testkit";
import { type Cell, cellOf, renderMatrix, type Way } from "./matrix.ts";

const all = ["2025-11-25", "2026-07-28"] as const;
const [only] = process.argv.slice(2).filter((word) => word !== "--");
const clients = all.filter((client) => only === undefined || client === only);
if (clients.length === 0) throw new Error(`There is no client ${only}; there are ${all.join(" and ")}.`);

const matrix = new Map<string, ReadonlyMap<Way, Cell>>();
let unexpected = 0;
for (const client of clients) {
  await using server = await startEverythingServer();
  const direct = await runConformance({ url: server.url, requirements: client });
  note(client, "direct", cellOf(direct), []);
  for (const suiteCase of conformanceCases.filter(({ front }) => front === client)) {
    const report = await throughGateway(suiteCase);
    const differing = checkDifferences(direct.checks, report.checks);
    note(client, suiteCase.way, cellOf(report, differing), suiteCase.failedChecks);
  }
}
process.stdout.write(`${renderMatrix(matrix)}\n`);
process.exitCode = unexpected === 0 ? 0 : 1;

async function throughGateway({ front, era, expectedFailures }: ConformanceCase): Promise<ConformanceReport> {
  await using server = await startEverythingServer({ era });
  await using gateway = await startGateway({ config: { mcpServers: { everything: { url: server.url } } } });
  const [record] = (await (await fetch(`${gateway.url}/api/gateways?name=everything`)).json()) as [
    { id: string },
  ];
  await fetch(`${gateway.url}/gateways/${record.id}/refresh`, { method: "POST" });
  const url = `${gateway.url}/servers/${record.id}/mcp`;
  return await runConformance({ url, requirements: front, ...(expectedFailures && { expectedFailures }) });
}

function note(client: string, way: Way, cell: Cell, expected: readonly string[]): void {
  matrix.set(client, new Map([...(matrix.get(client) ?? []), [way, cell]]));
  if ([...cell.failed].sort().join() !== [...expected].sort().join()) unexpected++;
  process.stderr.write(`${client} ${way}: ${cell.passed} of ${cell.of}\n`);
}
