export {
  type ClassifyOptions,
  classifyDbError,
  type DbErrorClassification,
  toDatabaseError,
} from "./classify-db-error.ts";
export {
  DatabaseError,
  type DatabaseErrorClass,
  type DatabaseErrorCode,
  type DatabaseErrorInit,
  TransactionOutcomeUnknown,
} from "./errors.ts";
export type { ErrorRow } from "./sqlstate-table.ts";
