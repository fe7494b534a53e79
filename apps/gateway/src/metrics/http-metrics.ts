import { Histogram, type HistogramSeries } from "./histogram.ts";

const bounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** Duration of HTTP requests by route, method and status. */
export class HttpMetrics {
  readonly duration = new Histogram(
    "http_request_duration_seconds",
    "Duration of HTTP requests; of event streams until their end.",
    bounds,
  );
  readonly #series = new Map<string, HistogramSeries[]>();

  /** Counts one request. `route` is the pattern, never the path. */
  observe(route: string, method: string, status: number, milliseconds: number): void {
    const key = `${method} ${route}`;
    let byStatus = this.#series.get(key);
    if (byStatus === undefined) {
      byStatus = [];
      this.#series.set(key, byStatus);
    }
    let series = byStatus[status];
    if (series === undefined) {
      series = this.duration.series({ method, route, status: String(status) });
      byStatus[status] = series;
    }
    series.observe(milliseconds / 1_000);
  }
}
