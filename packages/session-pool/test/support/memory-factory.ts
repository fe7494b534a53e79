import type { CloseReason, SessionFactory, SessionKey } from "@gatewright/session-pool";

/** A session that lives in memory, with everything that ever happened to it. */
export interface MemorySession {
  readonly id: number;
  readonly key: SessionKey;
  readonly refreshed: boolean;
  closed: CloseReason | undefined;
  lose(): void;
}

/** A factory whose connects and closes can be held, failed and counted. */
export class MemoryFactory implements SessionFactory<MemorySession, string> {
  readonly sessions: MemorySession[] = [];
  readonly contexts: (string | undefined)[] = [];
  open = 0;
  maxOpen = 0;
  /** Set to delay or fail connects. */
  beforeConnect: (attempt: number, signal: AbortSignal) => Promise<void> = async () => {};
  beforeClose: (session: MemorySession) => Promise<void> = async () => {};
  connects = 0;

  async connect(
    key: SessionKey,
    options: { signal: AbortSignal; context: string | undefined; refreshCredentials: boolean },
  ): Promise<MemorySession> {
    this.connects++;
    this.contexts.push(options.context);
    await this.beforeConnect(this.connects, options.signal);
    const session: MemorySession = {
      id: this.sessions.length + 1,
      key,
      refreshed: options.refreshCredentials,
      closed: undefined,
      lose: () => {},
    };
    this.sessions.push(session);
    this.open++;
    this.maxOpen = Math.max(this.maxOpen, this.open);
    return session;
  }

  async close(session: MemorySession, reason: CloseReason): Promise<void> {
    if (session.closed !== undefined) throw new Error("closed twice");
    session.closed = reason;
    await this.beforeClose(session);
    this.open--;
  }

  onLost(session: MemorySession, lost: () => void): () => void {
    session.lose = lost;
    return () => {
      session.lose = () => {};
    };
  }
}
