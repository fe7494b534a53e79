/** What the page shows of an operation of the OpenAPI document. */
interface Operation {
  readonly summary?: string;
  readonly security?: unknown;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly schema?: unknown }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema?: unknown }>> };
  readonly responses?: Readonly<Record<string, unknown>>;
}

const style = `body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
summary{cursor:pointer;padding:.35rem 0}code{font-size:.95em}b{display:inline-block;min-width:4.5rem}
pre{background:#f4f4f4;padding:.75rem;overflow:auto}small{color:#666}section{border-bottom:1px solid #ddd}
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}pre{background:#242424}small{color:#999}section{border-color:#333}}`;

/** Allows the page its own style and nothing else: no script, no network. */
export const docsPolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

/** The OpenAPI document as a page of its own, without scripts and without anything from elsewhere. */
export function docsPage(document: Readonly<Record<string, unknown>>): string {
  const paths = document["paths"] as Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  const { title, version } = document["info"] as { readonly title: string; readonly version: string };
  const sections = Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => section(path, method, operation)),
  );
  return `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${text(title)} API</title><style>${style}</style>
<h1>${text(title)} <small>${text(version)}</small></h1>
<p>The REST surface, as <a href="openapi.json">openapi.json</a> describes it. MCP is served at <code>/mcp</code> and
<code>/servers/{id}/mcp</code>.</p>
${sections.join("\n")}</html>
`;
}

function section(path: string, method: string, operation: Operation): string {
  const { summary = "", security, parameters = [], requestBody } = operation;
  const schema = requestBody?.content["application/json"]?.schema;
  const shown: [string, unknown][] = parameters.map(({ name, in: where, schema: of }) => [
    `${name} (${where})`,
    of,
  ]);
  if (schema !== undefined) shown.push(["body", schema]);
  const details = shown.map(
    ([name, value]) => `<p>${text(name)}</p><pre>${text(JSON.stringify(value, null, 2))}</pre>`,
  );
  const lock = security === undefined ? "" : " <small>bearer token</small>";
  return `<section><details><summary><b>${text(method.toUpperCase())}</b> <code>${text(path)}</code> ${text(summary)}${lock}</summary>
${details.join("\n") || "<p>No parameters.</p>"}</details></section>`;
}

function text(value: string): string {
  return value.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
