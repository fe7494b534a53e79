/** The few messages the raw server speaks, as text that is ready to be sent. */

export const MODERN_REVISION = "2026-07-28";
export const LEGACY_REVISIONS = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"] as const;

const SERVER_INFO = '{"name":"raw-fixture","version":"1.0.0"}';
const CAPABILITIES = '{"tools":{}}';
/** What a 2026-07-28 result carries at its end, and a cacheable one before that. */
const MODERN_TAIL = `"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":${SERVER_INFO}}`;
const CACHE_HINT = '"ttlMs":60000,"cacheScope":"public"';

const TOOLS = `"tools":${JSON.stringify([
  {
    name: "echo",
    description: "Answers with the text it was given.",
    inputSchema: { type: "object", properties: { text: { type: "string" } }, required: ["text"] },
    annotations: { readOnlyHint: true, idempotentHint: true },
  },
  {
    name: "payload",
    description: "Answers with a text of the given number of bytes.",
    inputSchema: { type: "object", properties: { bytes: { type: "integer", minimum: 0 } } },
    annotations: { readOnlyHint: true, idempotentHint: true },
  },
  {
    name: "wait",
    description: "Answers after the given number of milliseconds.",
    inputSchema: { type: "object", properties: { ms: { type: "integer", minimum: 0 } } },
    annotations: { readOnlyHint: true, idempotentHint: true },
  },
])}`;

export const discoverResult = `{"supportedVersions":["${MODERN_REVISION}"],"capabilities":${CAPABILITIES},${CACHE_HINT},${MODERN_TAIL}}`;

export const initializeResult = (revision: string): string =>
  `{"protocolVersion":"${revision}","capabilities":${CAPABILITIES},"serverInfo":${SERVER_INFO}}`;

export const toolsResult = (modern: boolean): string =>
  modern ? `{${TOOLS},${CACHE_HINT},${MODERN_TAIL}}` : `{${TOOLS}}`;

export const emptyResult = (modern: boolean): string => (modern ? `{${MODERN_TAIL}}` : "{}");

/** A tool result with one text item; `text` is JSON, quotes included. */
export const textResult = (text: string, modern: boolean): string =>
  modern
    ? `{"content":[{"type":"text","text":${text}}],${MODERN_TAIL}}`
    : `{"content":[{"type":"text","text":${text}}]}`;

export const success = (id: string, result: string): string =>
  `{"jsonrpc":"2.0","id":${id},"result":${result}}`;

export const failure = (id: string, code: number, message: string, data?: unknown): string =>
  `{"jsonrpc":"2.0","id":${id},"error":${JSON.stringify({ code, message, ...(data === undefined ? {} : { data }) })}}`;
