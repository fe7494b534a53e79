import { describe, expect, it } from "vitest";
import { splitCommand } from "../src/translate/split-command.ts";
import { translateEnvironment } from "../src/translate/translate-config.ts";
import { runCommand } from "./support/run-command.ts";

describe("a command line", () => {
  it.each([
    ["a b  c", ["a", "b", "c"]],
    [`'a b' "c d"`, ["a b", "c d"]],
    [`a\\ b "c\\"d" 'e\\f' "g\\h"`, ["a b", 'c"d', "e\\f", "g\\h"]],
    [`--x='y z'`, ["--x=y z"]],
    [`"" a`, ["", "a"]],
    ["  ", []],
    [`"open`, undefined],
    ["end\\", undefined],
  ])("%s is split as by a shell", (text, words) => {
    expect(splitCommand(text)).toEqual(words);
  });
});

describe("the environment of a bridge", () => {
  it("is without what a gateway beside it is made of", () => {
    const env = { PORT: "1", REDIS_URL: "redis://x", DATABASE_URL: "postgres://x", WORKERS: "4" };
    const more = {
      GATEWRIGHT_CONFIG: "f",
      GATEWRIGHT_LIMITS__BODY_BYTES: "2048",
      GATEWRIGHT_REDIS__URL: "x",
    };
    expect(translateEnvironment({ ...env, ...more })).toEqual({
      PORT: "1",
      GATEWRIGHT_LIMITS__BODY_BYTES: "2048",
    });
  });
});

describe("wrong flags of gatewright translate", () => {
  const program = ["--stdio", "server"];
  const remote = ["--connect", "http://127.0.0.1:1/mcp"];
  const missing = "$".concat("{NOT_SET_HERE}");
  it.each([
    [[], "needs one of"],
    [[...program, ...remote], "needs one of"],
    [["--stdio", "server 'x"], "quotes have to be closed"],
    [["--stdio", ""], "has to be a command"],
    [["--stdio", "npx", "server"], '"server" is no flag'],
    [["--connect", "ftp://x"], "URL of http or https"],
    [["--connect-sse", "nowhere"], "--connect-sse has to be a URL"],
    [[...program, "--header", "A: b"], "--header goes with --connect"],
    [[...remote, "--env", "A=b"], "--env goes with --stdio"],
    [[...remote, "--child", "shared"], "--child goes with --stdio"],
    [[...remote, "--header", "no header"], '"Name: value"'],
    [[...remote, "--header", `A: ${missing}`], "NOT_SET_HERE is not set"],
    [[...program, "--env", "NOT_SET_HERE"], "it is not set here"],
    [[...program, "--env", "1A=b"], "no name of a variable"],
    [[...program, "--child", "both"], "session or shared"],
    [[...program, "--header-to-env", "X-A"], "HEADER=VARIABLE"],
    [[...program, "--header-to-env", "X A=B"], "HEADER=VARIABLE"],
    [[...program, "--header-to-env", "X-A=1B"], "HEADER=VARIABLE"],
    [[...program, "--header-to-env", "X-A=NODE_OPTIONS"], "may not set NODE_OPTIONS"],
    [[...program, "--header-to-env", "X-A=A", "--header-to-env", "x-a=B"], 'names "x-a" twice'],
    [[...program, "--header-to-env", "X-A=A", "--header-to-env", "X-B=A"], "sets A twice"],
    [[...remote, "--header-to-env", "X-A=A"], "goes with --stdio"],
    [[...program, "--child", "shared", "--header-to-env", "X-A=A"], "a process for each session"],
    [[...remote, "--cors", "*"], "--cors needs"],
    [[...program, "--expose-see"], "--expose-see"],
  ])("%j: one sentence, exit code 2", async (flags, text) => {
    const command = runCommand(["translate", ...flags], {});
    expect(await command.code).toBe(2);
    expect(command.err).toHaveLength(1);
    expect(command.err[0]).toContain(text);
    expect(command.out).toEqual([]);
  });

  it("a port that is no number is a mistake of the configuration, one in use ends with 4", async () => {
    const wrong = runCommand(["translate", ...program, "--port", "many"], {});
    expect(await wrong.code).toBe(3);
    await using first = runCommand(["translate", ...remote, "--expose-sse"], {});
    const { port } = new URL(await first.url());
    const second = runCommand(["translate", ...remote, "--port", port], {});
    expect(await second.code).toBe(4);
    expect(second.err).toHaveLength(1);
  });

  it("--help names the flags of a command", async () => {
    const help = runCommand(["translate", "--help"], {});
    expect(await help.code).toBe(0);
    expect(help.out.join("\n")).toContain("--header-to-env");
  });
});
