/** Loaded before the ttrpc tests, it has them use the shim's sockets; only the addon's cannot take a bound descriptor. */
import { connectUnix } from "#addon";
import { useTransport } from "#ttrpc";
import { Entrance } from "../../../shim/entrance.js";
import { NET } from "../../../shim/ttrpc/net-transport.js";

useTransport({
  connect: connectUnix,
  listen: async (address, ...handlers) => {
    const transport = "path" in address ? Entrance.at(address.path).transport() : NET;
    return transport.listen(address, ...handlers);
  },
});
