/** The shim's own sockets, which are native code, for targets that talk over one; Node's again afterwards. */
import { useTransport } from "#ttrpc";
import { UNIX } from "../../shim/transport.js";
import { NET } from "../../shim/ttrpc/net-transport.js";

export const useShimSockets = (): void => useTransport(UNIX);
export const useNodeSockets = (): void => useTransport(NET);
