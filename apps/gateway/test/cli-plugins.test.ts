import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCli } from "../src/cli/run-cli.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gatewright-cli-plugins-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs `gatewright plugins …` in this process. */
async function plugins(args: readonly string[], more: Record<string, string> = {}) {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runCli(["plugins", ...args], {
    env: { DATA_DIR: folder, LOG_LEVEL: "silent", ...more },
    out: (line) => void out.push(line),
    err: (line) => void err.push(line),
    stopped: () => new Promise(() => undefined),
  });
  return { code, out, err };
}

/** Something that answers HTTP, and is no gateway. */
async function listening(answer: RequestListener) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    answer(request, response);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${port}`, port, asked, close, [Symbol.asyncDispose]: close };
}

describe("gatewright plugins", () => {
  it("says where it looked for a gateway, why that failed, and what to do", async () => {
    const { url, port, close } = await listening(() => undefined);
    await close();
    const byHost = ["--host", "127.0.0.1", "--port", String(port)];
    for (const [args, env, named] of [
      [["list", "--url", url], {}, "--url"],
      [["mode", "retry"], { GATEWRIGHT_URL: `${url}/` }, "GATEWRIGHT_URL"],
      [["mode", "retry", "disabled", ...byHost], {}, "server.host"],
    ] as const) {
      const { code, out, err } = await plugins(args, env);
      expect([code, out, err.length]).toEqual([1, [], 1]);
      expect(err[0]).toContain(`gatewright plugins: no gateway answers at ${url} (${named}`);
      expect(err[0]).toContain("ECONNREFUSED");
      expect(err[0]).toMatch(/gatewright serve.*--url or GATEWRIGHT_URL/);
    }
    // A name with an address of each kind.
    expect((await plugins(["list", "--url", `http://localhost:${port}`])).err[0]).toContain("ECONNREFUSED");
  });

  it("tells what is misspelt before anybody is asked, with the nearest right word", async () => {
    await using server = await listening((_, response) => response.end("{}"));
    const at = ["--url", server.url];
    for (const [args, said] of [
      [["mode", "retry", "disable"], 'did you mean "disabled"?'],
      [["mode", "retry", "inherits"], 'did you mean "inherit"?'],
      [["mode", "retry", "off"], "known: enforce, permissive, disabled, inherit"],
      [["mode", "retry", "disabled", "--wait", "quorums"], 'did you mean "quorum"?'],
      [["mode", "retry", "disabled", "--wipe", "allways"], 'did you mean "always"?'],
      [["mode", "retry", "disabled", "--ttl-ms", "1.5"], "--ttl-ms"],
      [["mode"], "plugins mode NAME [enforce|permissive|disabled|inherit]"],
      [["list", "--token", "a\nb"], "one line"],
    ] as const) {
      const { code, err } = await plugins([...args, ...at]);
      expect([code, err.length]).toEqual([2, 1]);
      expect(err[0]).toContain(said);
    }
    for (const url of ["nonsense", "ftp://127.0.0.1", "http://ann:secret@127.0.0.1"]) {
      const { code, err } = await plugins(["list", "--url", url]);
      expect([code, err.length]).toEqual([2, 1]);
      expect(err[0]).toContain("--url has to be a URL");
      expect(err[0]).not.toContain("secret");
    }
    expect(server.asked).toEqual([]);
  });

  it.each([200, 502])("says of an answer %i without JSON that it is hardly a gateway's", async (status) => {
    await using server = await listening((_, response) => response.writeHead(status).end("<html>"));
    const { code, err } = await plugins(["list", "--url", server.url]);
    expect([code, err.length]).toEqual([1, 1]);
    expect(err[0]).toContain(`${server.url} answered ${status} without JSON; is it a gateway?`);
  });

  it.each(["ends", "breaks"])(
    "says that the gateway went away when its answer %s before the report",
    async (how) => {
      await using server = await listening((_, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.write('event: ack\ndata: {"replica":"one","ms":1}\n\n', () =>
          how === "ends" ? response.end() : response.destroy(),
        );
      });
      const { code, out, err } = await plugins(["mode", "retry", "disabled", "--url", server.url]);
      expect([code, out]).toEqual([1, []]);
      expect(err.at(-1)).toContain("the gateway went away before its report");
      expect(err.at(-1)).toContain("gatewright plugins list");
      expect(err.at(-1)).not.toContain("    at ");
    },
  );
});
