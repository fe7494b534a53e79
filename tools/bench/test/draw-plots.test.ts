import { expect, it } from "vitest";
import { drawPlots } from "../src/index.ts";

it("draws plots below each other in one document, titles and names included", () => {
  const plot = {
    title: "polls",
    xLabel: "hours",
    yLabel: "per minute",
    xMax: 24,
    yMax: 60,
    series: [{ name: "hot", color: "#c00", points: [[0, 10] as const, [24, 20] as const] }],
  };
  const svg = drawPlots([plot, { ...plot, title: "moves", filled: true }]);
  expect(svg.match(/<svg /g)).toHaveLength(1);
  expect(svg).toContain("<title>polls; moves</title>");
  expect(svg).toContain("hot");
  expect(svg).not.toContain("NaN");
});
