import type { ServerResponse } from "node:http";
import { encodeSseComment } from "@gatewright/mcp-bridge";

/** One timer for everything that has to give a sign of life. Does not keep the process alive. */
export class Heartbeat {
  readonly #beats = new Set<() => void>();
  readonly #timer: NodeJS.Timeout;

  constructor(intervalMs: number) {
    this.#timer = setInterval(() => {
      for (const beat of this.#beats) beat();
    }, intervalMs).unref();
  }

  /** Calls `beat` from now on; the returned function ends that. */
  add(beat: () => void): () => void {
    this.#beats.add(beat);
    return () => void this.#beats.delete(beat);
  }

  /** Keeps an event stream from being taken for dead: an idle one gets a comment. */
  addStream(response: ServerResponse): void {
    const remove = this.add(() => {
      if (!response.writableEnded && response.writableLength === 0) response.write(comment);
    });
    response.once("close", remove);
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

const comment = encodeSseComment();
