/** What a network namespace holds, by iproute2's JSON. */
import { z } from "zod";
import { AgentError } from "../errors.js";
import type { Network, NetworkInterface, Route } from "../manifest.js";
import { command } from "../util/command.js";

const links = z.array(
  z.object({
    ifname: z.string(),
    link_type: z.string(),
    address: z.string().optional(),
    mtu: z.int(),
    flags: z.array(z.string()),
    addr_info: z.array(
      z.object({ local: z.string().optional(), prefixlen: z.int(), scope: z.string(), family: z.string() }),
    ),
  }),
);
const routes = z.array(
  z.object({
    dst: z.string(),
    gateway: z.string().optional(),
    dev: z.string().optional(),
    protocol: z.string().optional(),
    scope: z.string().optional(),
    prefsrc: z.string().optional(),
    metric: z.int().optional(),
    type: z.string().optional(),
  }),
);

/** @throws AgentError NETWORK */
export async function describeNetwork(path: string): Promise<Network> {
  const [addresses, v4, v6] = await Promise.all([
    ipJson(path, links, "addr", "show"),
    ipJson(path, routes, "-4", "route", "show", "table", "main"),
    ipJson(path, routes, "-6", "route", "show", "table", "main"),
  ]);
  const interfaces = addresses.filter((one) => one.link_type === "ether").map(toInterface);
  const names = new Set(interfaces.map((one) => one.name));
  const all = [...v4.map((one) => toRoute("inet", one)), ...v6.map((one) => toRoute("inet6", one))];
  return {
    kind: "path",
    path,
    interfaces,
    routes: all.filter((one) => one !== undefined && names.has(one.device)) as Route[],
  };
}

/** MAC addresses and names only: for announcing that addresses are here again. */
export async function interfacesOf(path: string): Promise<NetworkInterface[]> {
  const network = await describeNetwork(path);
  return network.kind === "path" ? [...network.interfaces] : [];
}

async function ipJson<T>(netns: string, schema: z.ZodType<T>, ...args: string[]): Promise<T> {
  const text = await command("nsenter", [`--net=${netns}`, "ip", "-j", ...args], {
    code: "NETWORK",
    timeoutMs: 5000,
  });
  const result = schema.safeParse(text.trim() === "" ? [] : JSON.parse(text));
  if (result.success) return result.data;
  throw new AgentError("NETWORK", `ip ${args.join(" ")} said something unexpected in ${netns}`, {
    cause: result.error,
  });
}

function toInterface(link: z.infer<typeof links>[number]): NetworkInterface {
  const addresses = link.addr_info.filter(
    (one) => one.local !== undefined && !(one.family === "inet6" && one.scope === "link"),
  );
  return {
    name: link.ifname,
    mac: link.address ?? "",
    mtu: link.mtu,
    up: link.flags.includes("UP"),
    addresses: addresses.map((one) => `${one.local}/${one.prefixlen}`),
  };
}

/** Undefined for those that the kernel makes by itself with an address. */
function toRoute(family: "inet" | "inet6", one: z.infer<typeof routes>[number]): Route | undefined {
  if (
    one.dev === undefined ||
    one.protocol === "kernel" ||
    (one.type !== undefined && one.type !== "unicast")
  )
    return undefined;
  return {
    family,
    destination: one.dst,
    device: one.dev,
    ...(one.gateway === undefined ? {} : { gateway: one.gateway }),
    ...(one.prefsrc === undefined ? {} : { source: one.prefsrc }),
    ...(one.metric === undefined ? {} : { metric: one.metric }),
    ...(one.scope === undefined ? {} : { scope: one.scope }),
  };
}
