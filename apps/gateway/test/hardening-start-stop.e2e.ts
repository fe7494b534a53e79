import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, reservePort } from "@gatewright/testkit";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { runCli } from "../src/cli/run-cli.ts";
import { fileTrouble } from "../src/secret/private-file.ts";

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-start-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs a command that is expected to end by itself. */
async function run(args: string[], env: Record<string, string> = {}) {
  const err: string[] = [];
  const code = await runCli(args, {
    env: { PORT: "0", LOG_LEVEL: "silent", ...env },
    out: () => undefined,
    err: (line) => void err.push(line),
    stopped: () => Promise.resolve(),
  });
  return { code, err };
}

describe("starting where it cannot", () => {
  it("a data folder that is a file, or cannot be made, is one sentence with the path and the cause", async () => {
    const file = join(folder, "file");
    await writeFile(file, "");
    for (const [dataDir, cause] of [
      [file, "a part of the path is a file"],
      [join(file, "below"), "a part of the path is a file"],
      ["/proc/nope", "/proc/nope cannot be used as the data folder"],
    ] as const) {
      for (const command of ["serve", "token"]) {
        const { code, err } = await run([command], { DATA_DIR: dataDir });
        expect(code, dataDir).toBe(1);
        expect(err).toHaveLength(1);
        expect(err[0]).toContain(dataDir);
        expect(err[0]).toContain(cause);
        expect(err[0]).not.toContain("\n");
      }
    }
  });

  it("a registry that is no database, or a folder, is one sentence", async () => {
    const garbage = join(folder, "garbage");
    await mkdir(garbage);
    await writeFile(join(garbage, "registry.db"), "no database at all, ".repeat(100));
    const broken = await run(["serve"], { DATA_DIR: garbage });
    expect(broken.code).toBe(1);
    expect(broken.err).toHaveLength(1);
    expect(broken.err[0]).toMatch(/registry\.db cannot be used as the registry: .*not a database/);
    const taken = join(folder, "taken");
    await mkdir(join(taken, "registry.db"), { recursive: true });
    const second = await run(["serve"], { DATA_DIR: taken });
    expect(second.code).toBe(1);
    expect(second.err).toHaveLength(1);
    expect(second.err[0]).toContain("registry.db cannot be used as the registry");
    const inSecret = join(folder, "in-secret");
    await mkdir(join(inSecret, "secret"), { recursive: true });
    const third = await run(["serve"], { DATA_DIR: inSecret });
    expect(third).toMatchObject({
      code: 1,
      err: [expect.stringContaining("it is a folder, not a file (EISDIR)")],
    });
  });

  it("causes that the system names are said in words, others as they are", () => {
    const cause = Object.assign(new Error("EROFS: x"), { code: "EROFS" });
    expect(fileTrouble("/a", "registry", cause).message).toBe(
      "/a cannot be used as the registry: the file system is read-only (EROFS)",
    );
    const own = fileTrouble("/a", "registry", new Error("strange"));
    expect(own.message).toBe("/a cannot be used as the registry: strange");
    expect(fileTrouble("/b", "file", own)).toBe(own);
  });

  it("a configuration that is a folder is said in words", async () => {
    const { code, err } = await run(["serve", "--config", folder]);
    expect(code).toBe(3);
    expect(err.join("\n")).toContain("cannot be read: it is a folder, not a file");
  });
});

describe("stopping", () => {
  it("/ready says 503 after SIGTERM before the port is closed, though nobody reads what it prints", async () => {
    const { port, release } = await reservePort();
    onTestFinished(release);
    const main = join(import.meta.dirname, "../src/main.ts");
    const child = spawn(process.execPath, ["--conditions=@gatewright/source", main, "serve"], {
      env: {
        PATH: process.env["PATH"] ?? "",
        NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? "",
        PORT: String(port),
        LOG_LEVEL: "silent",
        DATA_DIR: join(folder, "stopping"),
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    child.stdout.destroy();
    const exited = once(child, "exit");
    const url = `http://127.0.0.1:${port}`;
    await eventually(async () => (await fetch(`${url}/ready`)).status === 200, { timeoutMs: 30_000 });
    child.kill("SIGTERM");
    const draining = await eventually(async () => {
      const response = await fetch(`${url}/ready`);
      return response.status === 503 && (await response.json());
    });
    expect(draining).toMatchObject({ status: "down", checks: { lifecycle: { status: "draining" } } });
    expect(await exited).toEqual([0, null]);
  });
});
