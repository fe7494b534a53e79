import type { McpCaller } from "./mcp-caller.ts";

/** Calls in flight: enough that the target never waits for the generator. */
const IN_FLIGHT = 50;

/** Makes `calls` calls as fast as they are answered: warming up is not measured, so it need not take its time. */
export async function burst(
  caller: McpCaller,
  calls: number,
  onProgress: (ratio: number) => void = () => undefined,
): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    for (let index = next++; index < calls; index = next++) {
      await new Promise<void>((resolve) => caller.call(index, () => resolve()));
      if (index % 1_000 === 0) onProgress(index / calls);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, work));
}
