import { fromJsonSchema, type McpServer } from "@modelcontextprotocol/server";
import * as z from "zod";
import { image, text, WAV } from "./samples.ts";

const embedded = (uri: string, mimeType: string, content: string) => ({
  type: "resource" as const,
  resource: { uri, mimeType, text: content },
});

/** A schema that a gateway must hand on unchanged: references, composition, conditions. */
const ADDRESS_BOOK_SCHEMA = {
  $schema: "https://json-schema.org/draft/2020-12/schema",
  type: "object",
  $defs: {
    address: {
      $anchor: "addressDef",
      type: "object",
      properties: { street: { type: "string" }, city: { type: "string" } },
    },
  },
  properties: {
    name: { type: "string" },
    address: { $ref: "#/$defs/address" },
    contactMethod: { type: "string", enum: ["phone", "email"] },
    phone: { type: "string" },
    email: { type: "string" },
  },
  allOf: [{ anyOf: [{ required: ["phone"] }, { required: ["email"] }] }],
  if: { properties: { contactMethod: { const: "phone" } }, required: ["contactMethod"] },
  // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
  then: { required: ["phone"] },
  else: { required: ["email"] },
  additionalProperties: false,
} as const;

/** A schema with an annotation that no JSON Schema vocabulary has. */
const MIRRORED_SCHEMA: object = {
  type: "object",
  properties: { region: { type: "string", "x-mcp-header": "Region" }, level: { type: "integer" } },
};

/** Tools that answer at once, one per kind of content, and two whose schemas are special. */
export function registerContentTools(server: McpServer): void {
  server.registerTool("test_simple_text", { description: "Answers with a text." }, () => ({
    content: [text("This is a simple text response for testing.")],
  }));
  server.registerTool("test_image_content", { description: "Answers with an image." }, () => ({
    content: [image()],
  }));
  server.registerTool("test_audio_content", { description: "Answers with a sound." }, () => ({
    content: [{ type: "audio", data: WAV, mimeType: "audio/wav" }],
  }));
  server.registerTool(
    "test_embedded_resource",
    { description: "Answers with an embedded resource." },
    () => ({
      content: [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")],
    }),
  );
  server.registerTool(
    "test_multiple_content_types",
    { description: "Answers with three kinds of content." },
    () => ({
      content: [
        text("Multiple content types test:"),
        image(),
        embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
      ],
    }),
  );
  server.registerTool("test_resource_link", { description: "Answers with a link to a resource." }, () => ({
    content: [
      { type: "resource_link", uri: "test://static-text", name: "static-text", mimeType: "text/plain" },
    ],
  }));
  server.registerTool(
    "test_structured_content",
    {
      description: "Answers with structured content beside its text.",
      inputSchema: z.strictObject({ city: z.string() }),
      outputSchema: z.strictObject({ city: z.string(), degrees: z.number() }),
    },
    ({ city }) => ({ content: [text(`${city}: 21.5`)], structuredContent: { city, degrees: 21.5 } }),
  );
  server.registerTool("test_error_handling", { description: "Always fails." }, () => {
    throw new Error("This tool intentionally returns an error for testing");
  });
  server.registerTool(
    "json_schema_2020_12_tool",
    {
      description: "Tool with JSON Schema 2020-12 features",
      inputSchema: fromJsonSchema<Record<string, unknown>>(ADDRESS_BOOK_SCHEMA),
    },
    (args) => ({ content: [text(JSON.stringify(args))] }),
  );
  server.registerTool(
    "test_x_mcp_header",
    {
      description: "Has an argument that a modern client mirrors into the header Mcp-Param-Region.",
      inputSchema: fromJsonSchema<{ region?: string; level?: number }>(MIRRORED_SCHEMA),
    },
    ({ region }) => ({ content: [text(`region=${region ?? "none"}`)] }),
  );
}
