/** The part of a JSON Schema that finding keys and types needs. */
export interface SchemaNode {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly additionalProperties?: boolean | SchemaNode;
  readonly items?: SchemaNode;
  readonly anyOf?: readonly SchemaNode[];
  readonly oneOf?: readonly SchemaNode[];
}

/** The schema at `path`, or undefined when the path leads nowhere. */
export function schemaAt(root: SchemaNode, path: readonly PropertyKey[]): SchemaNode | undefined {
  let node: SchemaNode | undefined = root;
  for (const step of path) {
    if (node === undefined) return undefined;
    node = child(node, step);
  }
  return node;
}

/** The names of the keys that the object at `node` may have. */
export function keysOf(node: SchemaNode | undefined): string[] {
  if (node === undefined) return [];
  const branches = [...(node.anyOf ?? []), ...(node.oneOf ?? [])];
  return [
    ...new Set([...Object.keys(node.properties ?? {}), ...branches.flatMap((branch) => keysOf(branch))]),
  ];
}

function child(node: SchemaNode, step: PropertyKey): SchemaNode | undefined {
  if (typeof step === "number") return node.items;
  const own = node.properties?.[String(step)];
  if (own !== undefined) return own;
  for (const branch of [...(node.anyOf ?? []), ...(node.oneOf ?? [])]) {
    const found = child(branch, step);
    if (found !== undefined) return found;
  }
  return typeof node.additionalProperties === "object" ? node.additionalProperties : undefined;
}
