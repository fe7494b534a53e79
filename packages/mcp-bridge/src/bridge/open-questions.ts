import type { JsonObject, RequestMessage } from "../message.ts";
import { textOf } from "../splice.ts";
import type { UpstreamMessage } from "../upstream/upstream.ts";
import { paramsText } from "./edit-members.ts";
import { questionKey } from "./question-key.ts";
import { isVisit, withoutElicitationId } from "./url-elicitation.ts";

/** What a client is asked. */
export interface Question {
  readonly method: string;
  /** Raw text of its params. */
  readonly params: string | undefined;
}

interface OpenQuestion extends Question {
  /** The server's id, raw. */
  readonly idText: string;
  readonly askedAt: number;
}

/** The questions of one call that the client has not answered, each under a key that stays its own. */
export class OpenQuestions {
  readonly #open = new Map<string, OpenQuestion>();
  readonly #keys = new Set<string>();

  get size(): number {
    return this.#open.size;
  }

  /** When the oldest of them came. */
  get askedAt(): number | undefined {
    const [oldest] = this.#open.values();
    return oldest?.askedAt;
  }

  /** The key of a question that comes now. */
  keyFor(method: string, params: JsonObject | undefined): string {
    const key = questionKey(method, params, this.#keys);
    this.#keys.add(key);
    return key;
  }

  add(key: string, message: RequestMessage, askedAt: number): void {
    const params = paramsText(message);
    const shown = params !== undefined && isVisit(message.params) ? withoutElicitationId(params) : params;
    const idText = textOf(message.bytes, message.idSpan);
    this.#open.set(key, { method: message.method, params: shown, idText, askedAt });
  }

  /** Closes a question that is answered; its raw id, or nothing when it is not open. */
  close(key: string): string | undefined {
    const question = this.#open.get(key);
    this.#open.delete(key);
    return question?.idText;
  }

  /** Takes a question back that the server no longer asks; false when it is none of these. */
  withdraw(idText: string): boolean {
    for (const [key, question] of this.#open) {
      if (question.idText === idText) return this.#open.delete(key);
    }
    return false;
  }

  /** All of them, as they are now. */
  list(): ReadonlyMap<string, Question> {
    return new Map(this.#open);
  }
}

/** The raw id of the question that a server cancels; undefined for any other message. */
export function withdrawnBy({ kind, method, bytes, spans }: UpstreamMessage): string | undefined {
  if (kind !== "notification" || method !== "notifications/cancelled") return undefined;
  return spans.requestId === undefined ? "" : textOf(bytes, spans.requestId);
}
