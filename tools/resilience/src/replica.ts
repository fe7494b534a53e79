import type { FaultProxy } from "@gatewright/db-resilience/testing";
import type { Gateway } from "@gatewright/testkit";
import { type Answer, type RequestOptions, send } from "./one-request.ts";

/** One who calls a gateway. */
export interface Caller {
  /** The gateway's, and the application_name of its connections. */
  readonly name: string;
  /** Sends a REST request; what is wrong with the form of the answer is noted. */
  rest(path: string, options?: RequestOptions): Promise<Answer>;
  /** Calls the echo tool; true when the upstream has answered and the id is the caller's. */
  callTool(id: number): Promise<boolean>;
}

/** One gateway process, and the proxies between it and each server. */
export interface Replica extends Caller {
  readonly gateway: Gateway;
  /** In the order of the URL. */
  readonly proxies: readonly FaultProxy[];
}

/** Calls the gateway at `url`; `note` is told of everything that no answer may be. `pid` is that of its process, if known. */
export function createCaller(
  name: string,
  url: string,
  secrets: () => RegExp,
  note: (problem: string) => void,
  pid?: () => number,
): Caller {
  return {
    name,
    async rest(path, options = {}) {
      const answer = await send(`${url}${path}`, { serverPid: pid?.(), ...options });
      for (const problem of wrongForm(answer, path, secrets())) {
        note(`${name} ${options.method ?? ""} ${path}: ${problem}`);
      }
      return answer;
    },
    async callTool(id) {
      const params = { name: "echo_echo", arguments: { text: "still here" } };
      const { status, body } = await send(`${url}/mcp/http`, {
        body: { jsonrpc: "2.0", id, method: "tools/call", params },
        timeoutMs: 20_000,
      });
      return status === 200 && body?.id === id && body.result !== undefined;
    },
  };
}

/** What an answer must never be: 401 or 500, an error without its parts, anything that names a host or a login. */
function wrongForm({ status, headers, text, body }: Answer, path: string, secrets: RegExp): string[] {
  const problems: string[] = [];
  if (status === 401 || status === 500) problems.push(`status ${status}: ${text}`);
  if (secrets.test(text)) problems.push(`a host or a login in ${text}`);
  if (status !== 503 || path.startsWith("/health") || path.startsWith("/ready")) return problems;
  const { code, message, retryable } = body?.error ?? {};
  if (typeof code !== "string") problems.push(`no code in ${text}`);
  if (!/database/i.test(String(message))) problems.push(`the database is not named: ${text}`);
  if (typeof retryable !== "boolean") problems.push(`no word on repeating in ${text}`);
  if (!(Number(headers["retry-after"]) >= 1)) problems.push(`no Retry-After on ${text}`);
  return problems;
}
