import type { ControlBus } from "@gatewright/plugin-framework";
import type { NoteStore } from "./note-store.ts";

/** What one replica says of one plugin. */
export interface PluginNote {
  readonly plugin: string;
  readonly mode: string;
  readonly layer: string;
  readonly rev: number;
  readonly degraded: boolean;
}

/** What one replica says of itself. */
export interface ReplicaNote {
  readonly replica: string;
  /** Undefined while it has not said anything. */
  readonly plugins?: readonly PluginNote[];
}

/** Options of {@link ReplicaBoard}. */
export interface ReplicaBoardOptions {
  /** Name of this process among the members. */
  readonly replica: string;
  readonly bus: ControlBus;
  /** Undefined where this replica is alone. */
  readonly notes: NoteStore | undefined;
  /** How often this replica says what it follows; 2 000 ms by default. */
  readonly intervalMs?: number;
}

/**
 * Where replicas tell each other under which modes they are, and how many of them live. Without notes there is
 * one. A note is forgotten with its replica, 6 s after it was last said.
 */
export class ReplicaBoard {
  readonly #options: ReplicaBoardOptions;
  #own: () => readonly PluginNote[] = () => [];
  #count = 1;
  #timer: NodeJS.Timeout | undefined;
  #telling: Promise<void> = Promise.resolve();
  #queued: Promise<void> | undefined;

  constructor(options: ReplicaBoardOptions) {
    this.#options = options;
  }

  /** How many replicas live, as last known: while Redis is away the count stays. At least 1. */
  get count(): number {
    return this.#count;
  }

  /** Begins to tell. `own` says what this process follows. */
  async start(own: () => readonly PluginNote[]): Promise<void> {
    this.#own = own;
    if (this.#options.notes === undefined) return;
    this.#timer = setInterval(() => void this.tell(), this.#options.intervalMs ?? 2_000).unref();
    await this.tell();
  }

  /** Says at once what this process follows. Never rejects. */
  tell(): Promise<void> {
    // What is waiting its turn will say the newest; what is under way may not.
    this.#queued ??= this.#telling.then(() => {
      this.#queued = undefined;
      this.#telling = this.#tell().catch(() => undefined);
      return this.#telling;
    });
    return this.#queued;
  }

  /** What every live replica follows, this one first. */
  async notes(): Promise<readonly ReplicaNote[]> {
    const { replica, notes, bus } = this.#options;
    const own = { replica, plugins: this.#own() };
    if (notes === undefined) return [own];
    try {
      const others = (await bus.members()).filter((name) => name !== replica).sort();
      if (others.length === 0) return [own];
      const texts = await notes.get(others);
      return [own, ...others.map((name, index) => noteOf(name, texts[index] ?? null))];
    } catch {
      return [own];
    }
  }

  /** Stops telling and takes the note away. */
  async stop(): Promise<void> {
    const { notes, replica } = this.#options;
    if (this.#timer === undefined || notes === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    await (this.#queued ?? this.#telling);
    await notes.drop(replica).catch(() => undefined);
  }

  async #tell(): Promise<void> {
    const { notes, replica, bus } = this.#options;
    if (notes === undefined || this.#timer === undefined) return;
    await notes.put(replica, JSON.stringify(this.#own()));
    const members = await bus.members();
    this.#count = Math.max(1, members.length);
  }
}

function noteOf(replica: string, text: string | null): ReplicaNote {
  if (text === null) return { replica };
  try {
    return { replica, plugins: JSON.parse(text) as PluginNote[] };
  } catch {
    return { replica };
  }
}
