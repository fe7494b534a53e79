import { appendFileSync } from "node:fs";
import type { McpServer } from "@modelcontextprotocol/server";
import { StdioServerTransport, serveStdio } from "@modelcontextprotocol/server/stdio";

/**
 * Serves MCP on this process's stdin and stdout. `FIXTURE_ERA` = `dual` (default), `legacy` or `modern`;
 * `FIXTURE_PID_FILE` names a file to which the process appends its id, so that a test can find it.
 */
export async function serveProgram(build: () => McpServer): Promise<void> {
  const pidFile = process.env["FIXTURE_PID_FILE"];
  if (pidFile) appendFileSync(pidFile, `${process.pid}\n`);
  process.stderr.write(`fixture ${process.pid} is ready\n`);
  const era = process.env["FIXTURE_ERA"] ?? "dual";
  if (era === "legacy") await build().connect(new StdioServerTransport());
  else serveStdio(build, { legacy: era === "modern" ? "reject" : "serve" });
}
