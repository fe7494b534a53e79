import type { EventStore, JSONRPCMessage } from "@modelcontextprotocol/server";

/**
 * The last events of one session, so that its client can resume a broken stream. Keeps `maxEvents` (default 256);
 * a client that comes back for older ones gets what is left.
 */
export function createEventLog(maxEvents = 256): EventStore {
  const events: { id: string; stream: string; message: JSONRPCMessage }[] = [];
  let sequence = 0;
  return {
    async storeEvent(stream, message) {
      sequence += 1;
      const id = `${stream}/${sequence}`;
      events.push({ id, stream, message });
      if (events.length > maxEvents) events.shift();
      return id;
    },
    async replayEventsAfter(lastEventId, { send }) {
      const slash = lastEventId.lastIndexOf("/");
      const stream = lastEventId.slice(0, slash);
      const last = Number(lastEventId.slice(slash + 1));
      for (const event of events.filter((each) => each.stream === stream)) {
        // The event that opens a stream has no message: it only gives the client an id to come back with.
        if (Number(event.id.slice(slash + 1)) > last && "jsonrpc" in event.message)
          await send(event.id, event.message);
      }
      return stream;
    },
  };
}
