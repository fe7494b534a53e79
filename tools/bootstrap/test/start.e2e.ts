import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "@gatewright/testkit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { root } from "../src/workspace.mjs";
import { createMark } from "./processes.ts";

/** What is installed starts on a machine without a network. */
const offline = { npm_config_registry: "http://127.0.0.1:9", HTTP_PROXY: "http://127.0.0.1:9" };

let dataFolder: string;
let mark: ReturnType<typeof createMark>;
let npm: ChildProcess;
let printed: string;

beforeEach(() => {
  dataFolder = mkdtempSync(join(tmpdir(), "gatewright-start-"));
  mark = createMark();
  printed = "";
  const env = { ...process.env, ...mark.env, ...offline, PORT: "0", DATA_DIR: dataFolder };
  npm = spawn("npm", ["start"], { cwd: root, env, stdio: ["ignore", "pipe", "pipe"] });
  npm.stdout?.on("data", (chunk) => {
    printed += chunk;
  });
  npm.stderr?.on("data", (chunk) => {
    printed += chunk;
  });
});

afterEach(() => {
  for (const line of mark.alive()) process.kill(Number(line.split(" ")[0]), "SIGKILL");
  rmSync(dataFolder, { recursive: true, force: true });
});

const printedCall = () =>
  eventually(
    () => {
      const call = /curl (?:[^\n]*\\\n)*[^\n]+/.exec(printed)?.[0];
      expect(call, printed).toBeDefined();
      return call ?? "";
    },
    { timeoutMs: 20_000 },
  );

describe("npm start", () => {
  it("prints a call that works when it is pasted into a shell, with no registry in reach", {
    timeout: 60_000,
  }, async () => {
    const call = await printedCall();
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
    async (signal) => {
      await printedCall();
      expect(mark.alive().length).toBeGreaterThan(2);
      npm.kill(signal);
      await eventually(() => expect(mark.alive()).toEqual([]), { timeoutMs: 20_000 });
    },
  );
});
