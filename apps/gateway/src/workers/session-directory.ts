/** Where a session is, as a worker is told. */
export interface SessionPlace {
  readonly owner: string;
  readonly url: string;
  readonly principal: string;
}

/** What the directory works with. */
export interface SessionDirectoryOptions {
  readonly tell: (worker: number | "all", name: string, data: unknown) => void;
}

interface Instance {
  readonly worker: number;
  readonly url: string;
}

/** Which worker holds which session of legacy clients. In the primary; a worker's sessions end with it. */
export class SessionDirectory {
  readonly #options: SessionDirectoryOptions;
  readonly #instances = new Map<string, Instance>();
  readonly #sessions = new Map<string, { readonly owner: string; readonly principal: string }>();

  constructor(options: SessionDirectoryOptions) {
    this.#options = options;
  }

  /** A worker can be reached now. */
  join(instance: string, url: string, worker: number): void {
    this.#instances.set(instance, { worker, url });
  }

  /** False when the session has an owner already. */
  claim(session: string, principal: string, owner: string): boolean {
    if (this.#sessions.has(session) || !this.#instances.has(owner)) return false;
    this.#sessions.set(session, { owner, principal });
    return true;
  }

  locate(session: string): SessionPlace | undefined {
    const found = this.#sessions.get(session);
    const instance = found && this.#instances.get(found.owner);
    return found && instance && { ...found, url: instance.url };
  }

  where(instance: string): string | undefined {
    return this.#instances.get(instance)?.url;
  }

  /** Ends a session, whoever holds it; its owner is told. */
  end(session: string, principal: string): "ended" | "foreign" | "unknown" {
    const found = this.#sessions.get(session);
    if (found === undefined) return "unknown";
    if (found.principal !== principal) return "foreign";
    this.#sessions.delete(session);
    const owner = this.#instances.get(found.owner);
    if (owner !== undefined) this.#options.tell(owner.worker, "session-ended", session);
    return "ended";
  }

  /** Its owner gives a session up. */
  release(session: string, owner: string): void {
    if (this.#sessions.get(session)?.owner === owner) this.#sessions.delete(session);
  }

  /** An upstream is reached in another way now, or is gone. */
  serverChanged(serverId: string, from: string): void {
    this.#options.tell("all", "server-changed", { serverId, from });
  }

  /** An instance is leaving, or has: its sessions are gone. */
  leave(instance: string): void {
    this.#instances.delete(instance);
    for (const [session, { owner }] of this.#sessions) if (owner === instance) this.#sessions.delete(session);
  }

  /** A worker has ended. */
  gone(worker: number): void {
    for (const [instance, held] of this.#instances) if (held.worker === worker) this.leave(instance);
  }
}
