import type { IncomingMessage } from "node:http";

/** Collects a request's body and hands it over once; nothing is called when the client goes away before its end. */
export function readBody(request: IncomingMessage, done: (body: Buffer) => void): void {
  let first: Buffer | undefined;
  let chunks: Buffer[] | undefined;
  request.on("data", (chunk: Buffer) => {
    if (first === undefined) {
      first = chunk;
      return;
    }
    chunks ??= [first];
    chunks.push(chunk);
  });
  request.on("end", () => done(chunks ? Buffer.concat(chunks) : (first ?? Buffer.alloc(0))));
}
