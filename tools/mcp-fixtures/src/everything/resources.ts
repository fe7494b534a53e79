import { type McpServer, ResourceTemplate } from "@modelcontextprotocol/server";
import type { EverythingState } from "./everything-state.ts";
import { PNG } from "./samples.ts";

/** Text, binary, by template, and one whose content changes. */
export function registerResources(server: McpServer, state: EverythingState): void {
  server.registerResource(
    "static-text",
    "test://static-text",
    { description: "A text that never changes.", mimeType: "text/plain" },
    ({ href }) => ({
      contents: [
        { uri: href, mimeType: "text/plain", text: "This is the content of the static text resource." },
      ],
    }),
  );
  server.registerResource(
    "static-binary",
    "test://static-binary",
    { description: "An image that never changes.", mimeType: "image/png" },
    ({ href }) => ({ contents: [{ uri: href, mimeType: "image/png", blob: PNG }] }),
  );
  server.registerResource(
    "watched-resource",
    state.watchedUri,
    { description: "A text that changes on demand.", mimeType: "text/plain" },
    ({ href }) => ({
      contents: [{ uri: href, mimeType: "text/plain", text: `watched, version ${state.watchedVersion()}` }],
    }),
  );
  server.registerResource(
    "template",
    new ResourceTemplate("test://template/{id}/data", { list: undefined }),
    { description: "Data of an id.", mimeType: "application/json" },
    ({ href }, { id }) => ({
      contents: [
        {
          uri: href,
          mimeType: "application/json",
          text: JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` }),
        },
      ],
    }),
  );
}
