import { type ClientRequest, type IncomingMessage, request } from "node:http";

/** Clients that listen for changes, each on a stream of its own. */
export interface Listeners {
  /** Called with the number of the listener for each change it hears of. */
  onChange: (listener: number) => void;
  /** How many streams ended before `close`. */
  readonly drops: number;
  close(): void;
}

const meta = {
  "io.modelcontextprotocol/protocolVersion": "2026-07-28",
  "io.modelcontextprotocol/clientCapabilities": {},
  "io.modelcontextprotocol/clientInfo": { name: "loadgen", version: "1" },
};

/** A request of revision 2026-07-28: its headers and its body. */
export function statelessRequest(method: string, params: Record<string, unknown>, token: string | undefined) {
  const name = params["name"];
  return {
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      "mcp-protocol-version": "2026-07-28",
      "mcp-method": method,
      ...(typeof name === "string" ? { "mcp-name": name } : {}),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { ...params, _meta: meta } }),
  };
}

const acknowledged = "notifications/subscriptions/acknowledged";
const changed = "notifications/tools/list_changed";

/** Opens streams by `subscriptions/listen`; resolves when all are acknowledged. */
export async function openListeners(
  url: string,
  count: number,
  tokens: readonly string[],
): Promise<Listeners> {
  const outgoing: ClientRequest[] = [];
  let drops = 0;
  let closing = false;
  const listeners: Listeners = {
    onChange: () => undefined,
    get drops() {
      return drops;
    },
    close() {
      closing = true;
      for (const one of outgoing) one.destroy();
    },
  };
  for (let index = 0; index < count; index += 1) {
    const params = { notifications: { toolsListChanged: true } };
    const { headers, body } = statelessRequest("subscriptions/listen", params, tokens[index % tokens.length]);
    const one = request(url, { method: "POST", headers, agent: false });
    one.on("error", () => undefined);
    one.end(body);
    outgoing.push(one);
    await new Promise<void>((resolve, reject) => {
      one.once("error", reject);
      one.once("response", (response: IncomingMessage) => {
        if (response.statusCode !== 200) reject(new Error(`a listener was refused: ${response.statusCode}`));
        let rest = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          rest += chunk;
          const end = rest.lastIndexOf("\n\n");
          if (end < 0) return;
          for (const event of rest.slice(0, end).split("\n\n")) {
            if (event.includes(acknowledged)) resolve();
            else if (event.includes(changed)) listeners.onChange(index);
          }
          rest = rest.slice(end + 2);
        });
        response.on("error", () => undefined);
        response.on("close", () => {
          if (!closing) drops += 1;
        });
      });
    });
  }
  return listeners;
}
