import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { projectEnvironment } from "../src/environment.mjs";
import { currentStamp, manifestFiles, readStamp, removeStamp, writeStamp } from "../src/stamp.mjs";
import { root } from "../src/workspace.mjs";

let copy: string;

beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), "gatewright-bare-"));
  for (const file of manifestFiles(root)) {
    mkdirSync(dirname(join(copy, file)), { recursive: true });
    cpSync(join(root, file), join(copy, file));
  }
  cpSync(join(root, "tools", "bootstrap", "src"), join(copy, "tools", "bootstrap", "src"), {
    recursive: true,
  });
});

afterEach(() => {
  rmSync(copy, { recursive: true, force: true });
});

/** `npm NAME` in the copy, with empty caches and the given registry. */
function npm(name: string, registry: string): Promise<{ code: number; output: string }> {
  const home = join(copy, "home");
  mkdirSync(home, { recursive: true });
  const env = {
    PATH: process.env["PATH"],
    HOME: home,
    npm_config_registry: registry,
    npm_config_cache: join(home, "cache"),
    npm_config_update_notifier: "false",
  };
  return new Promise((resolve) => {
    execFile("npm", [name], { cwd: copy, env }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr });
    });
  });
}

describe("without node_modules", () => {
  it.for(["start", "test"])(
    "npm %s fails with one sentence when the registry refuses connections",
    { timeout: 60_000 },
    async (name) => {
      const started = Date.now();
      const { code, output } = await npm(name, "http://127.0.0.1:9");
      expect(code).toBe(1);
      expect(output).toMatch(/registry cannot be reached: connect to the network/);
      expect(output).not.toMatch(/at .*\.mjs:\d+/);
      expect(Date.now() - started).toBeLessThan(15_000);
    },
  );

  it("gives up on a registry that accepts connections and never answers", { timeout: 60_000 }, async () => {
    const silent = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => silent.once("listening", resolve));
    const address = silent.address();
    const port = typeof address === "object" ? address?.port : 0;
    const started = Date.now();
    const { code, output } = await npm("start", `http://127.0.0.1:${port}`);
    silent.close();
    expect(code).toBe(1);
    expect(output).toMatch(/registry cannot be reached/);
    expect(Date.now() - started).toBeLessThan(15_000);
  });
});

describe("the stamp", () => {
  it("changes with any manifest and with nothing else", () => {
    const before = currentStamp(copy);
    writeFileSync(join(copy, "README.md"), "# other\n");
    expect(currentStamp(copy)).toBe(before);
    const manifest = join(copy, "packages", "mcp-bridge", "package.json");
    writeFileSync(manifest, readFileSync(manifest, "utf8").replace("0.0.0", "0.0.1"));
    expect(currentStamp(copy)).not.toBe(before);
  });

  it("is read back as written and gone when removed", () => {
    expect(readStamp(copy)).toBeUndefined();
    writeStamp(copy, "abc");
    expect(readStamp(copy)).toBe("abc");
    removeStamp(copy);
    expect(readStamp(copy)).toBeUndefined();
  });
});

describe("the environment of what is started", () => {
  it("puts the project's Node and binaries first and asks for no colours without a terminal", () => {
    const env = projectEnvironment({ PATH: "/bin", FORCE_COLOR: "1" }, false);
    expect(env["PATH"]?.split(":")).toEqual([
      join(root, "node_modules", "node", "bin"),
      join(root, "node_modules", ".bin"),
      "/bin",
    ]);
    expect(env["FORCE_COLOR"]).toBeUndefined();
    expect(env["NO_COLOR"]).toBe("1");
  });

  it("keeps compiled code in the project, or where it was told to", () => {
    const kept = join(root, "node_modules", ".cache", "gatewright", "compiled");
    expect(projectEnvironment({ PATH: "/bin" })["NODE_COMPILE_CACHE"]).toBe(kept);
    expect(projectEnvironment({ PATH: "/bin", NODE_COMPILE_CACHE: "/kept" })["NODE_COMPILE_CACHE"]).toBe(
      "/kept",
    );
  });

  it("leaves colours to a terminal", () => {
    expect(projectEnvironment({ PATH: "/bin" }, true)["NO_COLOR"]).toBeUndefined();
  });
});
