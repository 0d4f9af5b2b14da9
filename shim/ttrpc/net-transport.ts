/** Node's net as transport. */
import { createConnection, createServer, type Socket } from "node:net";
import type { Transport } from "./transport.js";

export const NET: Transport = {
  connect: createConnection,
  async listen(address, onConnection, onError) {
    const server = createServer((socket) => {
      try {
        onConnection(socket, descriptorOf(socket));
      } catch (error) {
        socket.destroy();
        onError(error as Error);
      }
    });
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(address, () => {
        server.off("error", reject);
        // Running out of descriptors fails one accept, not the server.
        server.on("error", onError);
        resolve();
      });
    });
    return { close: () => new Promise((resolve) => server.close(() => resolve())) };
  },
};

/** Node has no public way to a socket's descriptor, and credentials can be had by descriptor only. */
function descriptorOf(socket: Socket): number {
  const handle = (socket as unknown as { _handle?: { fd?: number } })._handle;
  const fd = handle?.fd;
  if (typeof fd !== "number" || fd < 0) throw new Error("the connection has no descriptor");
  return fd;
}
