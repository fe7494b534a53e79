export type { DatabaseHandle } from "../database-internals.ts";
export { createResilientDialect } from "./create-resilient-dialect.ts";
