export { type BenchRow, figure, formatRow, ratio, recordRow, resultsVariable } from "./bench-row.ts";
