/** Labels of one time series. */
export type Labels = Readonly<Record<string, string>>;

/** One value of a metric, as prom-client's registry expects it. */
export interface Sample {
  readonly value: number;
  readonly labels: Record<string, string>;
  readonly metricName?: string;
}

/** A metric as prom-client's registry reads it: the data path never hashes labels. */
export interface MetricSource {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  samples(): Sample[];
}

/** One time series of a counter; hold on to it and add. */
export class CounterSeries {
  /** The count so far. */
  value = 0;
  readonly labels: Record<string, string>;

  constructor(labels: Labels) {
    this.labels = { ...labels };
  }
}

/** A counter whose series are looked up once and then only added to. */
export class Counter implements MetricSource {
  readonly name: string;
  readonly help: string;
  readonly type = "counter";
  readonly #series = new Map<string, CounterSeries>();
  readonly #keep: ((labels: Labels) => boolean) | undefined;

  /** @param keep says of each series, when the counter is read, whether it still stands for something */
  constructor(name: string, help: string, keep?: (labels: Labels) => boolean) {
    this.name = name;
    this.help = help;
    this.#keep = keep;
  }

  /** The series with these label values. */
  series(labels: Labels): CounterSeries {
    const key = Object.values(labels).join("\u0000");
    let series = this.#series.get(key);
    if (series === undefined) {
      series = new CounterSeries(labels);
      this.#series.set(key, series);
    }
    return series;
  }

  samples(): Sample[] {
    for (const [key, { labels }] of this.#series) {
      if (this.#keep?.(labels) === false) this.#series.delete(key);
    }
    return [...this.#series.values()].map(({ value, labels }) => ({ value, labels }));
  }
}
