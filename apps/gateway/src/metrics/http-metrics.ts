import { Histogram, type HistogramSeries } from "./histogram.ts";

const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Duration of HTTP requests by route, method and status. */
export class HttpMetrics {
  readonly duration = new Histogram(
    "http_request_duration_seconds",
    "Duration of HTTP requests; of event streams until their end.",
    bounds,
  );
  /** By route, then method, then status: the data path looks up what it has at hand and puts no key together. */
  readonly #series = new Map<string, Map<string, HistogramSeries[]>>();

  /** Counts one request. `route` is the pattern, never the path. */
  observe(route: string, method: string, status: number, milliseconds: number): void {
    let byMethod = this.#series.get(route);
    if (byMethod === undefined) {
      byMethod = new Map();
      this.#series.set(route, byMethod);
    }
    let byStatus = byMethod.get(method);
    if (byStatus === undefined) {
      byStatus = [];
      byMethod.set(method, byStatus);
    }
    let series = byStatus[status];
    if (series === undefined) {
      series = this.duration.series({ method, route, status: String(status) });
      byStatus[status] = series;
    }
    series.observe(milliseconds / 1_000);
  }
}
