/** The two members of a socket that batching needs. */
export interface Corkable {
  cork(): void;
  uncork(): void;
}

/** Commands in one write. More would save little, and the server should begin while the rest is being written. */
const MOST_COMMANDS = 16;

/**
 * Makes one write of up to sixteen commands that one turn of the event loop issues: a batch of answers wakes a batch
 * of callers, and a system call for each of them costs a third of a check. Nothing waits longer than the turn in
 * which it was issued.
 */
export class WriteBatch {
  #corked: Corkable | undefined;
  #commands = 0;

  /** To be called before a command is sent over `socket`; without a socket it does nothing. */
  join(socket: Corkable | undefined): void {
    if (socket === undefined) return;
    if (this.#corked !== socket) {
      this.#flush();
      this.#corked = socket;
      this.#commands = 0;
      socket.cork();
      process.nextTick(() => {
        if (this.#corked === socket) this.#flush();
      });
    } else if (++this.#commands >= MOST_COMMANDS) {
      this.#commands = 0;
      socket.uncork();
      socket.cork();
    }
  }

  #flush(): void {
    const socket = this.#corked;
    this.#corked = undefined;
    socket?.uncork();
  }
}
