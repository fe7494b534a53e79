// Event streams in bare node:http, for comparison: what a client posts goes to every stream, in the fewest steps there are.
// The floor of what telling a thousand listeners costs. Prints its URL.
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const streams = new Set<ServerResponse>();
const frame = (message: object) =>
  `event: message\ndata: ${JSON.stringify({ jsonrpc: "2.0", ...message })}\n\n`;
const acknowledged = frame({ method: "notifications/subscriptions/acknowledged" });
const subscriptionId = { "io.modelcontextprotocol/subscriptionId": 1 };
const changed = frame({ method: "notifications/tools/list_changed", params: { _meta: subscriptionId } });

const server = createServer(async (request, response) => {
  let text = "";
  for await (const chunk of request) text += chunk;
  if (text.includes("subscriptions/listen")) {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write(acknowledged);
    streams.add(response);
    response.once("close", () => streams.delete(response));
    return;
  }
  response.end("{}");
  for (const stream of streams) stream.write(changed);
});
server.listen(0, "127.0.0.1", () => {
  process.stdout.write(`http://127.0.0.1:${(server.address() as AddressInfo).port}/\n`);
});
