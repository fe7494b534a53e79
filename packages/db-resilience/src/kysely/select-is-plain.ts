import type { RootOperationNode } from "kysely";

/** Whether a statement only reads, so that running it twice is as good as once: a SELECT without data-changing CTEs. */
export function selectIsPlain(node: RootOperationNode): boolean {
  if (node.kind !== "SelectQueryNode") return false;
  const expressions = node.with?.expressions ?? [];
  return expressions.every(({ expression }) => {
    if (expression.kind !== "SelectQueryNode") return false;
    return selectIsPlain(expression as RootOperationNode);
  });
}
