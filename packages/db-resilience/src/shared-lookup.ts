import dns from "node:dns";
import { type LookupFunction, Socket } from "node:net";

type LookupCallback = Parameters<LookupFunction>[2];

/**
 * Resolves names, anew each time, but never asks for a name that is being asked for already: a question that hangs holds
 * one of the process's few threads, also after whoever wanted to connect has given up.
 */
export function createSharedLookup(): LookupFunction {
  const asking = new Map<string, LookupCallback[]>();
  return (name, options, done) => {
    const key = JSON.stringify([name, options.family, options.all, options.hints]);
    const others = asking.get(key);
    if (others) {
      others.push(done);
      return;
    }
    const waiting = [done];
    asking.set(key, waiting);
    dns.lookup(name, options, (...answer) => {
      asking.delete(key);
      for (const tell of waiting) tell(...answer);
    });
  };
}

/** A socket that finds the host it is told to connect to by `lookup`. */
export function socketWith(lookup: LookupFunction): Socket {
  const socket = new Socket();
  const connect = socket.connect.bind(socket);
  socket.connect = ((port: number | string, host?: string) =>
    typeof port === "string" && host === undefined
      ? connect(port)
      : connect({ port: Number(port), host: host ?? "localhost", lookup })) as Socket["connect"];
  return socket;
}
