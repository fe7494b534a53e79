/** One line or one row of bars in a plot. */
export interface Series {
  readonly name: string;
  readonly color: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

/** A plot with two axes. */
export interface Plot {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly xMax: number;
  readonly yMax: number;
  readonly series: readonly Series[];
  /** Fill below the lines, for distributions. */
  readonly filled?: boolean;
}

const WIDTH = 560;
const HEIGHT = 320;
const PAD = { left: 76, right: 24, top: 44, bottom: 52 };
const INNER = { width: WIDTH - PAD.left - PAD.right, height: HEIGHT - PAD.top - PAD.bottom };
const INK = "#1f2933";
const GRID = "#d9dee4";

/** Draws plots below each other as one SVG with a white ground, so that it reads in light and dark pages. */
export function drawPlots(plots: readonly Plot[]): string {
  const height = HEIGHT * plots.length;
  const body = plots
    .map((plot, i) => `<g transform="translate(0 ${i * HEIGHT})">${drawPlot(plot)}</g>`)
    .join("\n");
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">
<title>${plots.map(({ title }) => title).join("; ")}</title>
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
${body}
</svg>
`;
}

function drawPlot(plot: Plot): string {
  const x = (value: number) => (PAD.left + (value / plot.xMax) * INNER.width).toFixed(1);
  const y = (value: number) => (PAD.top + INNER.height - (value / plot.yMax) * INNER.height).toFixed(1);
  const bottom = y(0);
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  const parts = [text(WIDTH / 2, 20, plot.title, "middle", ' font-size="14" font-weight="bold"')];
  for (const tick of ticks) {
    parts.push(line(x(0), y(plot.yMax * tick), x(plot.xMax), y(plot.yMax * tick), GRID));
    parts.push(text(PAD.left - 8, Number(y(plot.yMax * tick)) + 4, label(plot.yMax * tick), "end"));
    parts.push(text(Number(x(plot.xMax * tick)), Number(bottom) + 18, label(plot.xMax * tick), "middle"));
  }
  for (const { points, color } of plot.series) {
    const path = points.map(([px, py], i) => `${i === 0 ? "M" : "L"}${x(px)} ${y(py)}`).join("");
    const [first, last] = [points[0], points.at(-1)];
    if (plot.filled && first && last) {
      parts.push(
        `<path d="${path}L${x(last[0])} ${bottom}L${x(first[0])} ${bottom}Z" fill="${color}" opacity="0.18"/>`,
      );
    }
    parts.push(`<path d="${path}" fill="none" stroke="${color}" stroke-width="2"/>`);
  }
  plot.series.forEach(({ name, color }, i) => {
    const at = PAD.left + 12 + (i * INNER.width) / plot.series.length;
    parts.push(line(at, 34, at + 18, 34, color, 3), text(at + 24, 38, name, "start"));
  });
  parts.push(text(WIDTH / 2, HEIGHT - 14, plot.xLabel, "middle"));
  parts.push(
    `<text transform="translate(16 ${PAD.top + INNER.height / 2}) rotate(-90)" text-anchor="middle" fill="${INK}">${plot.yLabel}</text>`,
  );
  return parts.join("\n");
}

function label(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en-US").replaceAll(",", " ");
}

function text(x: number, y: number, content: string, anchor: string, more = ""): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="${INK}"${more}>${content}</text>`;
}

function line(
  x1: number | string,
  y1: number | string,
  x2: number | string,
  y2: number | string,
  color: string,
  width = 1,
) {
  return `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}" stroke="${color}" stroke-width="${width}"/>`;
}
