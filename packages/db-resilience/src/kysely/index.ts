export { createResilientDialect } from "./create-resilient-dialect.ts";
