/** Loaded before the ttrpc tests, it has them use the shim's sockets; only the addon's cannot take a bound descriptor. */
import { useTransport } from "#ttrpc";
import { UNIX } from "../../../shim/transport.js";
import { NET } from "../../../shim/ttrpc/net-transport.js";

useTransport({
  connect: UNIX.connect,
  listen: (address, ...handlers) => ("path" in address ? UNIX : NET).listen(address, ...handlers),
});
