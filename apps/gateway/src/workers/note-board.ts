import { MEMBER_EXPIRY_MS } from "@gatewright/plugin-framework";

/** What workers say of themselves, by name; forgotten some seconds after it was last said. */
export class NoteBoard {
  readonly #notes = new Map<string, { readonly text: string; readonly untilMs: number }>();

  put(name: string, text: string): void {
    this.#notes.set(name, { text, untilMs: performance.now() + MEMBER_EXPIRY_MS });
  }

  get(names: readonly string[]): (string | null)[] {
    for (const [name, { untilMs }] of this.#notes) if (untilMs < performance.now()) this.#notes.delete(name);
    return names.map((name) => this.#notes.get(name)?.text ?? null);
  }

  drop(name: string): void {
    this.#notes.delete(name);
  }
}
