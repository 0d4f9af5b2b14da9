/** The sockets of the shim's ttrpc: the addon's, which are there at once. */
import { connectUnix, listenUnix } from "#addon";
import type { Transport } from "#ttrpc";

export const UNIX: Transport = {
  connect: connectUnix,
  async listen(address, onConnection, onError) {
    if (!("path" in address)) throw new Error("the shim listens at paths only");
    return listenUnix(address.path, (socket) => onConnection(socket, socket.fd), onError);
  },
};
