import { type JsonSchema, schemaDocument } from "./config-file.ts";
import type { HookDeclaration, PluginDefinition } from "./plugin-definition.ts";

/** What a plugin says of itself, as plain JSON. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly tags: readonly string[];
  readonly modeAuthority: boolean;
  readonly hooks: Readonly<Record<string, Required<Pick<HookDeclaration, "phase" | "reads">>>>;
  readonly defaults: Readonly<Record<string, unknown>>;
  /** JSON Schema of its config; false: it takes none. */
  readonly config: JsonSchema | false;
}

/** The manifest of a definition: the one source of listings, tables and schemas. */
export function manifestOf(definition: PluginDefinition): Manifest {
  const hooks = Object.entries(definition.hooks).map(([name, declared = {}]) => {
    const { phase = "sequential", reads = "body" } = declared;
    return [name, { phase, reads }] as const;
  });
  return {
    name: definition.name,
    version: definition.version,
    description: definition.description,
    tags: definition.tags ?? [],
    modeAuthority: definition.modeAuthority === true,
    hooks: Object.fromEntries(hooks),
    defaults: { ...definition.defaults },
    config: definition.configSchema === undefined ? false : schemaDocument(definition.configSchema),
  };
}

function rows(definitions: readonly PluginDefinition[]): string[][] {
  return definitions.map(manifestOf).map(({ name, version, description, hooks, config }) => {
    const properties = config === false ? {} : ((config["properties"] ?? {}) as object);
    return [
      name,
      version,
      Object.keys(hooks).join(", "),
      Object.keys(properties).join(", ") || "none",
      description,
    ];
  });
}

const TITLES = ["plugin", "version", "hooks", "config", "description"];

/** A Markdown table of plugins, for a README. */
export function markdownTable(definitions: readonly PluginDefinition[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [TITLES, TITLES.map(() => "---"), ...rows(definitions)].map(line).join("\n");
}

/** The same as aligned text, for a terminal. */
export function textListing(definitions: readonly PluginDefinition[]): string {
  const table = [TITLES, ...rows(definitions)];
  const widths = TITLES.map((_, column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  return table
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
