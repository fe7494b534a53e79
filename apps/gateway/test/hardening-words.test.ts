import { createHash } from "node:crypto";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { runCli } from "../src/cli/run-cli.ts";
import { issueText } from "../src/config/issue-text.ts";

async function run(args: string[], env: Record<string, string> = {}) {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runCli(args, {
    env,
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
    stopped: () => Promise.resolve(),
  });
  return { code, out, text: err.join("\n") };
}

describe("gatewright token", () => {
  it("mints what was asked for, or makes an API key and shows the entry with its hash", async () => {
    const env = { DATA_DIR: join(await mkdtemp(join(tmpdir(), "gatewright-token-")), "data") };
    const minted = await run(
      ["token", "--user", "ann", "--tenant", "t", "--server", "a", "--scope", "mcp"],
      env,
    );
    expect(minted.code).toBe(0);
    const claims = JSON.parse(Buffer.from(minted.out[0]?.split(".")[1] ?? "", "base64url").toString());
    expect(claims).toMatchObject({
      sub: "ann",
      tenant: "t",
      servers: ["a"],
      scope: "mcp",
      aud: "gatewright",
    });
    const made = await run(["token", "--api-key", "ci", "--scope", "mcp", "--tenant", "t"], env);
    expect(made.code).toBe(0);
    const entry = JSON.parse(made.text.slice(made.text.indexOf("{")));
    const sha256 = createHash("sha256")
      .update(made.out[0] ?? "")
      .digest("hex");
    expect(entry).toEqual({ name: "ci", sha256, scopes: ["mcp"], tenant: "t" });
  });
});

describe("what is wrong is said in words", () => {
  it("of settings", async () => {
    const wrong = await run(["config", "check"], { PORT: "abc", LOG_LEVEL: "loud" });
    expect(wrong.code).toBe(3);
    expect(wrong.text).toContain("server.port: has to be a number (environment PORT)");
    expect(wrong.text).toMatch(/observability\.logLevel: has to be one of .*debug/);
    expect(wrong.text).not.toMatch(/Invalid|expected|received/);
    const flag = await run(["config", "check", "--port", "-5"]);
    expect(flag.text).toContain("server.port: has to be at least 0 (flag --port)");
  });

  it("of flags", async () => {
    const { code, text } = await run(["token", "--expires-in", "-5"], { DATA_DIR: tmpdir() });
    expect(code).toBe(2);
    expect(text).toBe("gatewright token: --expires-in has to be a whole number of seconds, 1 or more");
  });

  it("of every kind of mistake in a body", () => {
    const said = (schema: z.ZodType, value: unknown) =>
      issueText(schema.safeParse(value).error?.issues[0] as z.core.$ZodIssue);
    expect(said(z.int(), 1.5)).toBe("has to be a whole number");
    expect(said(z.string(), 1)).toBe("has to be text");
    expect(said(z.string().min(2), "")).toBe("has to have at least 2 characters");
    expect(said(z.array(z.string()).max(0), ["a"])).toBe("has to have at most 0 entries");
    expect(said(z.number().max(3), 4)).toBe("has to be at most 3");
    expect(said(z.literal("a"), 4)).toBe("has to be a");
    expect(said(z.strictObject({}), { a: 1 })).toBe("unknown key: a");
    expect(said(z.url(), "a")).toBe("has to be a URL of an allowed kind");
    expect(said(z.string().regex(/b/, "needs a b"), "a")).toBe("needs a b");
    expect(
      said(
        z.string().refine(() => false, "is not right"),
        "a",
      ),
    ).toBe("is not right");
  });
});
