import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadSecret } from "../src/secret/gateway-secret.ts";
import { openText, sealText } from "../src/secret/sealed-text.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-secret-"));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

describe("the secret", () => {
  it("is made once, with mode 0600, and found again", async () => {
    const first = loadSecret(join(folder, "data"), {});
    const mode = (await stat(join(folder, "data", "secret"))).mode & 0o777;
    expect(mode).toBe(0o600);
    expect(loadSecret(join(folder, "data"), {}).key("jwt")).toEqual(first.key("jwt"));
    expect((await readFile(join(folder, "data", "secret"), "utf8")).length).toBeGreaterThan(32);
  });

  it("gives every purpose a key of its own", () => {
    const secret = loadSecret(folder, {});
    expect(secret.key("jwt")).not.toEqual(secret.key("credential"));
    expect(secret.key("jwt")).toHaveLength(32);
  });

  it("is taken from the environment, and refused when it is short", async () => {
    expect(() => loadSecret(folder, { GATEWRIGHT_SECRET: "short" })).toThrow(/needs 32/);
    await writeFile(join(folder, "secret"), "short");
    expect(() => loadSecret(folder, {})).toThrow(/fewer than 32/);
  });

  it("opens what the previous secret sealed, but not what was sealed for something else", () => {
    const before = { GATEWRIGHT_SECRET: "a".repeat(32) };
    const after = { GATEWRIGHT_SECRET: "b".repeat(32), GATEWRIGHT_SECRET_PREVIOUS: "a".repeat(32) };
    const sealed = sealText(loadSecret(folder, before), "token", "one");
    expect(sealed).not.toContain("token");
    expect(openText(loadSecret(folder, after), sealed, "one")).toBe("token");
    expect(() => openText(loadSecret(folder, after), sealed, "two")).toThrow(/cannot be opened/);
  });

  it("fails when the folder cannot be written", async () => {
    await writeFile(join(folder, "file"), "");
    expect(() => loadSecret(join(folder, "file", "below"), {})).toThrow();
  });
});
