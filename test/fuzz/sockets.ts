/** The shim's own sockets, which are native code, for targets that talk over one; Node's again afterwards. */
import { connectUnix } from "#addon";
import { useTransport } from "#ttrpc";
import { Entrance } from "../../shim/entrance.js";
import { NET } from "../../shim/ttrpc/net-transport.js";

export function useShimSockets(): void {
  useTransport({
    connect: connectUnix,
    listen: async (address, ...handlers) => {
      const transport = "path" in address ? Entrance.at(address.path).transport() : NET;
      return transport.listen(address, ...handlers);
    },
  });
}

export function useNodeSockets(): void {
  useTransport(NET);
}
