/** One line of a plot. */
export interface Line {
  readonly label: string;
  /** Points from left to right; a point without `y` breaks the line. */
  readonly points: readonly { readonly x: number; readonly y: number | undefined }[];
}

/** What is drawn. */
export interface Plot {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  /** Default `linear`. A logarithmic axis leaves out what is not above zero. */
  readonly yScale?: "linear" | "log";
  readonly lines: readonly Line[];
  /** Labels of places on the x axis; default: five round figures. */
  readonly xTicks?: readonly { readonly at: number; readonly label: string }[];
}

const SIZE = { width: 720, height: 300 };
const MARGIN = { top: 34, right: 16, bottom: 44, left: 60 };
/** Told apart by people who see no red or green, too (Okabe and Ito). */
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

const escapeText = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** About `count` round figures from `low` to `high`. */
function roundTicks(low: number, high: number, count: number): readonly number[] {
  const rough = (high - low) / count;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * magnitude).find((each) => each >= rough) ?? rough;
  const ticks: number[] = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step / 1e6; tick += step) ticks.push(tick);
  return ticks;
}

const powersOfTen = (low: number, high: number): readonly number[] => {
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    ticks.push(10 ** power);
  }
  return ticks;
};

const label = (value: number): string => Number(value.toPrecision(3)).toLocaleString("en");

/** Draws a plot as an SVG element that needs nothing from elsewhere. */
export function linePlot(plot: Plot): string {
  const log = plot.yScale === "log";
  const points = plot.lines.flatMap((line) => line.points);
  const xs = points.map(({ x }) => x);
  const ys = points.map(({ y }) => y).filter((y) => y !== undefined && (!log || y > 0)) as number[];
  const x0 = Math.min(...xs, 0);
  const x1 = Math.max(...xs, x0 + 1e-9);
  const yTicks = log
    ? powersOfTen(Math.min(...ys, 1), Math.max(...ys, 1))
    : roundTicks(0, Math.max(...ys, 1e-9) * 1.05, 5);
  const y0 = log ? (yTicks[0] ?? 1) : 0;
  const y1 = Math.max(yTicks.at(-1) ?? 1, ...ys);

  const left = (x: number): number =>
    MARGIN.left + ((x - x0) / (x1 - x0)) * (SIZE.width - MARGIN.left - MARGIN.right);
  const share = (y: number): number =>
    log ? Math.log(y / y0) / Math.log(y1 / y0 || 10) : (y - y0) / (y1 - y0 || 1);
  const top = (y: number): number =>
    SIZE.height - MARGIN.bottom - share(y) * (SIZE.height - MARGIN.top - MARGIN.bottom);

  const path = (line: Line): string => {
    let pen = "M";
    let text = "";
    for (const { x, y } of line.points) {
      if (y === undefined || (log && y <= 0)) {
        pen = "M";
        continue;
      }
      text += `${pen}${left(x).toFixed(1)} ${top(y).toFixed(1)}`;
      pen = "L";
    }
    return text;
  };
  const xTicks = plot.xTicks ?? roundTicks(x0, x1, 6).map((at) => ({ at, label: label(at) }));
  const bottom = SIZE.height - MARGIN.bottom;
  return [
    `<svg viewBox="0 0 ${SIZE.width} ${SIZE.height}" role="img" aria-label="${escapeText(plot.title)}">`,
    `<text x="${MARGIN.left}" y="18" class="title">${escapeText(plot.title)}</text>`,
    ...yTicks.map(
      (y) =>
        `<line x1="${MARGIN.left}" x2="${SIZE.width - MARGIN.right}" y1="${top(y)}" y2="${top(y)}" class="grid"/>` +
        `<text x="${MARGIN.left - 6}" y="${top(y) + 4}" class="y">${label(y)}</text>`,
    ),
    ...xTicks.map(
      ({ at, label: text }) =>
        `<text x="${left(at)}" y="${bottom + 16}" class="x">${escapeText(text)}</text>`,
    ),
    `<text x="${SIZE.width - MARGIN.right}" y="${SIZE.height - 8}" class="y">${escapeText(plot.xLabel)}</text>`,
    `<text x="4" y="${MARGIN.top - 4}" class="unit">${escapeText(plot.yLabel)}</text>`,
    ...plot.lines.map(
      (line, index) => `<path d="${path(line)}" stroke="${COLOURS[index % COLOURS.length]}" class="line"/>`,
    ),
    ...plot.lines.map(
      (line, index) =>
        `<text x="${SIZE.width - MARGIN.right - (plot.lines.length - index - 1) * 96}" y="18" class="y" ` +
        `fill="${COLOURS[index % COLOURS.length]}">${escapeText(line.label)}</text>`,
    ),
    "</svg>",
  ].join("\n");
}
