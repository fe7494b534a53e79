import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@gatewright/testkit";
import { describe, it, type TestContext } from "vitest";
import { root } from "../src/workspace.mjs";
import { createMark } from "./processes.ts";

/** What is installed starts on a machine without a network. */
const offline = { npm_config_registry: "http://127.0.0.1:9", HTTP_PROXY: "http://127.0.0.1:9" };

/** `npm start` on a port and a folder of its own, until the test has finished. */
function startNpm({ onTestFinished }: TestContext) {
  const dataFolder = mkdtempSync(join(tmpdir(), "gatewright-start-"));
  const mark = createMark();
  const env = { ...process.env, ...mark.env, ...offline, PORT: "0", DATA_DIR: dataFolder };
  const npm = spawn("npm", ["start"], { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  let printed = "";
  for (const stream of [npm.stdout, npm.stderr]) {
    stream.on("data", (chunk) => {
      printed += chunk;
    });
  }
  onTestFinished(() => {
    for (const line of mark.alive()) process.kill(Number(line.split(" ")[0]), "SIGKILL");
    rmSync(dataFolder, { recursive: true, force: true });
  });
  const printedCall = () =>
    eventually(
      () => {
        const call = /curl (?:[^\n]*\\\n)*[^\n]+/.exec(printed)?.[0];
        if (call === undefined) throw new Error(`no call is printed: ${printed}`);
        return call;
      },
      { timeoutMs: 20_000 },
    );
  return { npm, mark, printedCall };
}

describe.concurrent("npm start", () => {
  it("prints a call that works when it is pasted into a shell, with no registry in reach", {
    timeout: 60_000,
  }, async (context) => {
    const { expect } = context;
    const call = await startNpm(context).printedCall();
    const answer = await new Promise<string>((resolve, reject) => {
      const shell = spawn("sh", ["-c", call], { stdio: ["ignore", "pipe", "pipe"] });
      let output = "";
      shell.stdout.on("data", (chunk) => {
        output += chunk;
      });
      shell.on("error", reject);
      shell.on("close", () => resolve(output));
    });
    expect(answer).toMatch(/"jsonrpc":\s*"2\.0"/);
    expect(answer).toMatch(/"result"/);
  });

  it.for(["SIGTERM", "SIGINT", "SIGKILL"] as const)(
    "leaves no process behind when npm gets %s",
    { timeout: 60_000 },
    async (signal, context) => {
      const { expect } = context;
      const { npm, mark, printedCall } = startNpm(context);
      await printedCall();
      expect(mark.alive().length).toBeGreaterThan(2);
      npm.kill(signal);
      await eventually(() => expect(mark.alive()).toEqual([]), { timeoutMs: 20_000 });
    },
  );
});
