export { type BenchRow, figure, formatRow, ratio, recordRow, resultsVariable } from "./bench-row.ts";
export { drawPlots, type Plot, type Series } from "./draw-plots.ts";
export { createProgressBar } from "./progress-bar.ts";
export { textTable } from "./text-table.ts";
