import { expect, it, onTestFinished, vi } from "vitest";

it("the example pools sessions of a protocol that is not MCP", async () => {
  const lines: string[] = [];
  const log = vi.spyOn(console, "log").mockImplementation((line) => void lines.push(line));
  onTestFinished(() => log.mockRestore());
  await import("../examples/line-protocol.ts");
  expect(lines).toEqual(["laptop: pears,quinces", "phone:  plums", "logins: 2 for 5 calls"]);
});
