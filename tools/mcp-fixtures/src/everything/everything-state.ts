import type { McpServer, ServerNotifier } from "@modelcontextprotocol/server";

/** An instance that lives as long as its client's session or pipe, and so can send notifications of its own. */
export interface LiveInstance {
  readonly server: McpServer;
  readonly subscriptions: Set<string>;
  showTool(shown: boolean): void;
  showPrompt(shown: boolean): void;
}

/** What all instances of one everything server share: the parts of its catalogue that change on demand. */
export interface EverythingState {
  readonly watchedUri: string;
  watchedVersion(): number;
  toolShown(): boolean;
  promptShown(): boolean;
  toggleTool(): void;
  togglePrompt(): void;
  touchWatched(): Promise<void>;
  /** Adds a live instance; returns how to take it out again. */
  join(instance: LiveInstance): () => void;
  /** Where the listeners of the modern era are told of changes. */
  tellModern(notifier: ServerNotifier): void;
}

export function createEverythingState(): EverythingState {
  const watchedUri = "test://watched-resource";
  const live = new Set<LiveInstance>();
  let notifier: ServerNotifier | undefined;
  let version = 1;
  let toolShown = false;
  let promptShown = false;
  return {
    watchedUri,
    watchedVersion: () => version,
    toolShown: () => toolShown,
    promptShown: () => promptShown,
    toggleTool() {
      toolShown = !toolShown;
      for (const instance of live) instance.showTool(toolShown);
      notifier?.toolsChanged();
    },
    togglePrompt() {
      promptShown = !promptShown;
      for (const instance of live) instance.showPrompt(promptShown);
      notifier?.promptsChanged();
    },
    async touchWatched() {
      version += 1;
      notifier?.resourceUpdated(watchedUri);
      const subscribed = [...live].filter(({ subscriptions }) => subscriptions.has(watchedUri));
      await Promise.all(
        subscribed.map(({ server }) => server.server.sendResourceUpdated({ uri: watchedUri })),
      );
    },
    join(instance) {
      live.add(instance);
      return () => {
        live.delete(instance);
      };
    },
    tellModern(given) {
      notifier = given;
    },
  };
}
