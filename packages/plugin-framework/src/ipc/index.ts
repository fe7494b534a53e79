export { createIpcBus, type IpcBusOptions } from "./create-ipc-bus.ts";
export { createIpcHub, type IpcHub, type IpcHubOptions } from "./create-ipc-hub.ts";
export type { IpcPort } from "./ipc-port.ts";
