import { createHash, randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";

/** What became of one call. */
export interface CallRecord {
  readonly key: string;
  readonly client: number;
  readonly amount: number;
  readonly outcome: "ok" | "unknown" | "failed";
  /** Of an answer: the client's own session, as operators see it, the upstream's session, and its number. */
  readonly clientSession?: string | undefined;
  readonly session?: string | undefined;
  readonly value?: number | undefined;
  /** Why it did not succeed, or what was refused before it did. */
  readonly refusals: readonly string[];
  /** Monotonic milliseconds. */
  readonly startedMs: number;
  readonly endedMs: number;
}

/** How a client calls. */
export interface ChaosClientOptions {
  readonly index: number;
  /** Endpoint, behind the balancer. */
  readonly url: string;
  readonly token: string;
  /** Longest wait for an answer. */
  readonly answerMs: number;
  /** Longest time of a call with all its repeats. */
  readonly callMs: number;
  /** Ends every call and every wait; what it ends is of unknown outcome. */
  readonly signal: AbortSignal;
}

interface Answer {
  readonly status: number;
  readonly sessionId: string | undefined;
  readonly body: Body;
}

/** What came of sending a call once. */
type Attempt =
  | { readonly kind: "ok"; readonly session: string; readonly value: number }
  | { readonly kind: "again"; readonly why: string; readonly waitMs: number }
  | { readonly kind: "unknown"; readonly why: string }
  | { readonly kind: "failed"; readonly why: string };

interface Body {
  readonly result?: { readonly structuredContent?: { readonly value: number; readonly session: string } };
  readonly error?: {
    readonly message: string;
    readonly data?: { readonly code?: string; readonly retryable?: boolean; readonly retryAfterMs?: number };
  };
}

/**
 * A client with one session. What was certainly not executed (HTTP 503, 404, an error that says so) it sends again under
 * the same key, so that a wrong promise shows as a call that was executed twice; what may have been executed, never.
 */
export class ChaosClient {
  readonly #options: ChaosClientOptions;
  #session: string | undefined;
  #lastId = 0;
  /** Sessions opened. */
  sessions = 0;

  constructor(options: ChaosClientOptions) {
    this.#options = options;
  }

  /** How a replica names the client's session to its operators; undefined without one. */
  get sessionName(): string | undefined {
    if (this.#session === undefined) return undefined;
    return createHash("sha256").update(this.#session).digest("base64url").slice(0, 16);
  }

  /** Calls `add` once, and again as long as it was not executed and there is time. */
  async add(amount: number): Promise<CallRecord> {
    const { index, callMs } = this.#options;
    const key = `${index}:${randomUUID()}`;
    const startedMs = performance.now();
    const refusals: string[] = [];
    const record = (outcome: CallRecord["outcome"], answer: Partial<CallRecord> = {}): CallRecord => ({
      ...{ key, client: index, amount, outcome, refusals, startedMs, endedMs: performance.now() },
      ...answer,
    });
    while (performance.now() - startedMs < callMs) {
      const verdict = await this.#try(key, amount);
      if (verdict.kind === "ok") return record("ok", { ...verdict, clientSession: this.sessionName });
      refusals.push(verdict.why);
      if (verdict.kind === "unknown") return record("unknown");
      if (verdict.kind === "failed") return record("failed");
      await delay(verdict.waitMs, undefined, { signal: this.#options.signal }).catch(() => undefined);
      if (this.#options.signal.aborted) return record("unknown");
    }
    return record("failed");
  }

  async #try(key: string, amount: number): Promise<Attempt> {
    if (this.#session === undefined) {
      const why = await this.#open();
      if (why !== undefined) return { kind: "again", why, waitMs: 250 };
    }
    let answer: Answer;
    try {
      answer = await this.#post("tools/call", { name: "add", arguments: { amount, key } });
    } catch (error) {
      return { kind: "unknown", why: `connection: ${causeOf(error)}` };
    }
    const { status, body } = answer;
    const content = body.result?.structuredContent;
    if (content !== undefined) return { kind: "ok", ...content };
    const { code = `HTTP ${status}`, retryable = false, retryAfterMs = 250 } = body.error?.data ?? {};
    if (status === 404) {
      this.#session = undefined;
      return { kind: "again", why: "404", waitMs: 0 };
    }
    if (code === "outcome_unknown" || code === "upstream_timeout" || status === 502) {
      return { kind: "unknown", why: code };
    }
    // Asked for sooner than it has to be, so that the time of recovery is seen.
    if (status === 503 || retryable) return { kind: "again", why: code, waitMs: Math.min(retryAfterMs, 250) };
    return { kind: "failed", why: `${code}: ${body.error?.message ?? ""}` };
  }

  async #open(): Promise<string | undefined> {
    const clientInfo = { name: "chaos", version: "1" };
    const params = { protocolVersion: "2025-11-25", capabilities: {}, clientInfo };
    try {
      const { status, sessionId, body } = await this.#post("initialize", params);
      if (sessionId === undefined || body.result === undefined) {
        return `initialize: ${body.error?.data?.code ?? status}`;
      }
      this.#session = sessionId;
      this.sessions++;
      return undefined;
    } catch (error) {
      return `initialize: ${causeOf(error)}`;
    }
  }

  async #post(method: string, params: object): Promise<Answer> {
    const { url, token, answerMs, signal } = this.#options;
    const response = await fetch(url, {
      method: "POST",
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
        accept: "application/json, text/event-stream",
        "mcp-protocol-version": "2025-11-25",
        ...(this.#session === undefined ? {} : { "mcp-session-id": this.#session }),
      },
      body: JSON.stringify({ jsonrpc: "2.0", id: ++this.#lastId, method, params }),
      signal: AbortSignal.any([signal, AbortSignal.timeout(answerMs)]),
    });
    const text = await response.text();
    const sessionId = response.headers.get("mcp-session-id") ?? undefined;
    return { status: response.status, sessionId, body: bodyOf(text) };
  }
}

/** The answer, be it JSON or the last event of a stream. */
function bodyOf(text: string): Body {
  const data = text.startsWith("{")
    ? text
    : text
        .split("\n")
        .findLast((line) => line.startsWith("data: {"))
        ?.slice(6);
  return data === undefined ? {} : (JSON.parse(data) as Body);
}

function causeOf(error: unknown): string {
  const { cause, name } = error as { readonly cause?: { readonly code?: string }; readonly name: string };
  return cause?.code ?? name;
}
