import { startServerProcess } from "@gatewright/testkit";

/** A server of Node alone that answers everything by 200: how soon this machine lets any process answer at the moment. */
export interface BareServer {
  readonly url: string;
  readonly pid: number;
  close(): Promise<void>;
}

const script = `
const server = require("node:http").createServer((_request, response) => response.end("{}"));
server.listen(0, "127.0.0.1", () => console.log("listens on " + server.address().port));`;

/** Starts it as a process of its own, as the gateways are. */
export async function startBareServer(): Promise<BareServer> {
  const server = await startServerProcess({ command: process.execPath, args: ["-e", script] });
  const [, port] = await server.waitForOutput(/listens on (\d+)/);
  return {
    url: `http://127.0.0.1:${port}`,
    pid: server.pid,
    close: async () => void (await server.end("SIGTERM")),
  };
}
