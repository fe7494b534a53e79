import type { Labels, MetricSource, Sample } from "./counter.ts";

/** One time series of a histogram: fixed upper bounds, counted where a value falls. */
export class HistogramSeries {
  readonly labels: Labels;
  readonly #bounds: readonly number[];
  readonly #counts: Uint32Array;
  #sum = 0;
  #count = 0;

  constructor(labels: Labels, bounds: readonly number[]) {
    this.labels = labels;
    this.#bounds = bounds;
    this.#counts = new Uint32Array(bounds.length);
  }

  /** Counts one value, in the unit of the bounds. */
  observe(value: number): void {
    this.#sum += value;
    this.#count++;
    const bounds = this.#bounds;
    for (let index = 0; index < bounds.length; index++) {
      if (value <= (bounds[index] as number)) {
        this.#counts[index] = (this.#counts[index] as number) + 1;
        return;
      }
    }
  }

  /** The series in Prometheus' form: cumulative buckets, sum and count. */
  samples(name: string): Sample[] {
    const samples: Sample[] = [];
    let below = 0;
    for (const [index, bound] of this.#bounds.entries()) {
      below += this.#counts[index] ?? 0;
      samples.push({
        value: below,
        labels: { ...this.labels, le: String(bound) },
        metricName: `${name}_bucket`,
      });
    }
    samples.push({
      value: this.#count,
      labels: { ...this.labels, le: "+Inf" },
      metricName: `${name}_bucket`,
    });
    samples.push({ value: this.#sum, labels: { ...this.labels }, metricName: `${name}_sum` });
    samples.push({ value: this.#count, labels: { ...this.labels }, metricName: `${name}_count` });
    return samples;
  }
}

/** A histogram whose series are looked up once and then only observed. */
export class Histogram implements MetricSource {
  readonly name: string;
  readonly help: string;
  readonly type = "histogram";
  readonly #bounds: readonly number[];
  readonly #series = new Map<string, HistogramSeries>();

  /** @param bounds upper bounds, ascending */
  constructor(name: string, help: string, bounds: readonly number[]) {
    this.name = name;
    this.help = help;
    this.#bounds = bounds;
  }

  /** The series with these label values. */
  series(labels: Labels): HistogramSeries {
    const key = Object.values(labels).join("\u0000");
    let series = this.#series.get(key);
    if (series === undefined) {
      series = new HistogramSeries(labels, this.#bounds);
      this.#series.set(key, series);
    }
    return series;
  }

  samples(): Sample[] {
    return [...this.#series.values()].flatMap((series) => series.samples(this.name));
  }
}
