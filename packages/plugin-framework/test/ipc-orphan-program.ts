/** A worker whose channel to the primary closes. Prints how a call under way and a later one end. */
import { createIpcBus } from "../src/ipc/index.ts";

const bus = createIpcBus();
const members = () => bus.members().then(String, ({ message }: Error) => message);
const underWay = members();
process.disconnect?.();
const later = members();
const giveUp = setTimeout(() => process.exit(1), 5_000);
process.stdout.write(JSON.stringify([await underWay, await later]));
clearTimeout(giveUp);
