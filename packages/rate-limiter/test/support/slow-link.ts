import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** A way to a server of this machine on which every answer takes `delayMs` longer, which may be changed. */
export async function startSlowLink(port: number) {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(port, "127.0.0.1");
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        for (const end of [near, far]) end.destroy();
        sockets.delete(socket);
      });
    }
    near.pipe(far);
    far.on("data", (answer) => setTimeout(() => near.writable && near.write(answer), link.delayMs));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const link = {
    delayMs: 0,
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
  return link;
}
