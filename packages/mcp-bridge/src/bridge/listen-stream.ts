import { RPC } from "../errors.ts";
import type { UpstreamAnswer } from "../upstream/answer.ts";
import type { UpstreamMessage, UpstreamSession } from "../upstream/upstream.ts";
import { UpstreamError } from "../upstream/upstream-error.ts";
import { readFilter, type SubscriptionFilter } from "./subscription-filter.ts";

/** Options of {@link openListenStream}. */
export interface ListenStreamOptions {
  readonly filter: SubscriptionFilter;
  /** Longest wait for the acknowledgement. */
  readonly acknowledgeMs: number;
  /** Ends the stream, and the wait for it. */
  readonly signal: AbortSignal;
  /** What comes on the stream behind the acknowledgement. */
  readonly onMessage: (message: UpstreamMessage) => void;
  /** The upstream ended the stream after it had acknowledged it. */
  readonly onOver: () => void;
}

/** An upstream's `subscriptions/listen` that it acknowledged. */
export interface ListenStream {
  readonly asked: SubscriptionFilter;
  readonly honoured: SubscriptionFilter;
  /** True once the stream has ended, whoever ended it. */
  readonly over: boolean;
  end(): void;
}

/** A stream that was not acknowledged. */
export class ListenRefused extends Error {
  /**
   * `all`: the upstream has no such streams; `some`: it answered that it will not, or nothing at all, and may be more
   * willing for less; `now`: it could not be asked, or had no time.
   */
  readonly extent: "all" | "some" | "now";
  /** Whether the upstream said so: else it said nothing. */
  readonly answered: boolean;
  constructor(
    extent: "all" | "some" | "now",
    facts: { readonly answered: boolean; readonly cause?: unknown },
  ) {
    super("The upstream did not acknowledge the subscription.", { cause: facts.cause });
    this.extent = extent;
    this.answered = facts.answered;
  }
}

/** Opens a stream of change notifications of a modern upstream. @throws ListenRefused, or what the signal aborts with */
export function openListenStream(
  session: UpstreamSession,
  { filter, acknowledgeMs, signal, onMessage, onOver }: ListenStreamOptions,
): Promise<ListenStream> {
  return new Promise((resolve, reject) => {
    const control = new AbortController();
    let acknowledged = false;
    let ended = false;
    let over = false;
    const end = () => {
      ended = true;
      control.abort();
    };
    const refuse = (error: unknown) => {
      if (acknowledged) return;
      reject(error);
      end();
    };
    const timer = setTimeout(() => refuse(new ListenRefused("some", { answered: false })), acknowledgeMs);
    const take = (message: UpstreamMessage) => {
      if (message.method !== "notifications/subscriptions/acknowledged") return onMessage(message);
      acknowledged = true;
      clearTimeout(timer);
      resolve({
        asked: filter,
        honoured: readFilter(message.params?.["notifications"]),
        get over() {
          return over;
        },
        end,
      });
    };
    signal.addEventListener("abort", end, { once: true });
    if (signal.aborted) end();
    session
      .request(
        { method: "subscriptions/listen", params: JSON.stringify({ notifications: filter }) },
        { timeoutMs: 0, signal: control.signal, onMessage: take },
      )
      .then(
        (answer) => refuse(new ListenRefused(extentOf(answer), { answered: true })),
        (error: unknown) =>
          refuse(signal.aborted ? error : new ListenRefused("now", { answered: false, cause: error })),
      )
      .finally(() => {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        over = true;
        if (acknowledged && !ended) onOver();
      });
  });
}

/** An early result, without an acknowledgement, is no more than a refusal of what was asked. */
function extentOf(answer: UpstreamAnswer): "all" | "some" {
  if (answer.kind === "result") return "some";
  try {
    return answer.value()["code"] === RPC.methodNotFound ? "all" : "some";
  } catch (error) {
    if (UpstreamError.is(error)) return "some";
    throw error;
  }
}
