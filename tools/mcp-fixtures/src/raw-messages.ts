/** The few messages a raw server speaks, as text that is ready to be sent. */

export const MODERN_REVISION = "2026-07-28";
export const LEGACY_REVISIONS = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"] as const;

const CAPABILITIES = '{"tools":{}}';
const CACHE_HINT = '"ttlMs":60000,"cacheScope":"public"';

/** The results of one server; each is the JSON text of a `result`. */
export interface RawMessages {
  readonly discover: string;
  initialize(revision: string): string;
  tools(modern: boolean): string;
  /** A tool result with one text item; `text` is JSON, quotes included. */
  text(text: string, modern: boolean): string;
}

/** `tools` are the entries of `tools/list`. */
export function createRawMessages(name: string, tools: readonly object[]): RawMessages {
  const serverInfo = `{"name":"${name}","version":"1.0.0"}`;
  /** What a 2026-07-28 result carries at its end. */
  const tail = `"resultType":"complete","_meta":{"io.modelcontextprotocol/serverInfo":${serverInfo}}`;
  const list = `"tools":${JSON.stringify(tools)}`;
  const modernTools = `{${list},${CACHE_HINT},${tail}}`;
  return {
    discover: `{"supportedVersions":["${MODERN_REVISION}"],"capabilities":${CAPABILITIES},${CACHE_HINT},${tail}}`,
    initialize: (revision) =>
      `{"protocolVersion":"${revision}","capabilities":${CAPABILITIES},"serverInfo":${serverInfo}}`,
    tools: (modern) => (modern ? modernTools : `{${list}}`),
    text: (text, modern) =>
      modern
        ? `{"content":[{"type":"text","text":${text}}],${tail}}`
        : `{"content":[{"type":"text","text":${text}}]}`,
  };
}

/** `id` is the request's id as JSON text. */
export const success = (id: string, result: string): string =>
  `{"jsonrpc":"2.0","id":${id},"result":${result}}`;

export const failure = (id: string, code: number, message: string, data?: unknown): string =>
  `{"jsonrpc":"2.0","id":${id},"error":${JSON.stringify({ code, message, ...(data === undefined ? {} : { data }) })}}`;
