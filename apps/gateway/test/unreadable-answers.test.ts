import { expect, it } from "vitest";
import { modern } from "./support/modern-client.ts";
import { startRecordingServer } from "./support/recording-server.ts";
import { startTestGateway } from "./support/test-gateway.ts";

const link = '{"type":"resource_link","uri":"x:a","name":"n"}';

it.each([
  ["is no JSON behind a URI", `{"content":[${link}],"x":[}`],
  ["names nothing for a URI", '{"content":[{"uri":}]}'],
  ["nests too deep", `{"content":[${link}],"structuredContent":${"[".repeat(1_100)}${"]".repeat(1_100)}}`],
])(
  "an answer that %s is the upstream's fault, for clients of any revision, and its call is made once",
  async (_, result) => {
    await using upstream = await startRecordingServer(
      (id) => `{"jsonrpc":"2.0","id":${id},"result":${result}}`,
    );
    await using gateway = await startTestGateway({ mcpServers: { one: { url: upstream.url } } });
    await gateway.core.refresher.ready();
    const params = { name: "one_keep", arguments: {} };
    const stateless = await modern(gateway, { path: "/mcp", method: "tools/call", params });
    const plain = await gateway.rpc("/mcp/http", { jsonrpc: "2.0", id: 2, method: "tools/call", params });
    for (const { body } of [stateless, plain]) {
      expect(body.error).toMatchObject({
        code: -31_002,
        message: expect.stringContaining("one"),
        data: { code: "upstream_unreachable", retryable: false },
      });
    }
    expect(upstream.calls).toHaveLength(2);
  },
);
