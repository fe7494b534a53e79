/** Gathers what is asked in one turn of the event loop and answers it with one call, or one per `size`. */
export function createMicroBatch<Request, Reply>(
  send: (requests: readonly Request[]) => Promise<readonly Reply[]>,
  size = 1_000,
): (request: Request) => Promise<Reply> {
  let waiting: Array<{
    request: Request;
    resolve: (reply: Reply) => void;
    reject: (error: unknown) => void;
  }> = [];
  const flush = async () => {
    const all = waiting;
    waiting = [];
    for (let from = 0; from < all.length; from += size) {
      const batch = all.slice(from, from + size);
      try {
        const replies = await send(batch.map(({ request }) => request));
        for (const [index, { resolve }] of batch.entries()) resolve(replies[index] as Reply);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
  };
  return (request) =>
    new Promise((resolve, reject) => {
      if (waiting.length === 0) queueMicrotask(() => void flush());
      waiting.push({ request, resolve, reject });
    });
}
