/**
 * The container's network at the destination, on a bridge.
 *
 * It is complete before the switchover, but silent (the shim's lock lets nothing in or out) and not yet on the bridge. The
 * switchover then is two steps that cannot fail for want of anything: the host's end joins the bridge, and the container's
 * end announces its addresses, so that switches learn where they are now.
 */
import { existsSync } from "node:fs";
import { NetworkLock } from "../../migration/netlock.js";
import { AgentError } from "../errors.js";
import type { Network, NetworkInterface, Route } from "../manifest.js";
import { command } from "../util/command.js";
import { interfacesOf } from "./describe.js";

/** Folders whose namespaces `ip netns` knows by name. */
const NAMED = /^(?:\/var)?\/run\/netns\/([A-Za-z0-9][A-Za-z0-9._-]{0,63})$/;

export type PathNetwork = Extract<Network, { kind: "path" }>;

/** The name of a namespace by its path; undefined when `ip netns` could not make it. */
export function namespaceName(path: string): string | undefined {
  return NAMED.exec(path)?.[1];
}

/** At most 15 characters, as the kernel wants it. */
export function hostInterface(migration: string, index: number): string {
  return `pl${migration.slice(0, 10)}${index}`.slice(0, 15);
}

/** One namespace that we have made. */
export class BridgedNamespace {
  private readonly name: string;

  constructor(
    private readonly network: PathNetwork,
    private readonly bridge: string,
    private readonly migration: string,
  ) {
    const name = namespaceName(network.path);
    if (name === undefined) {
      throw new AgentError(
        "REFUSED",
        `the container's network namespace ${network.path} cannot be made here`,
        {
          remedy: "use a namespace below /run/netns, or the network driver none and make it yourself",
        },
      );
    }
    this.name = name;
  }

  /** One that was prepared before this agent was started. */
  static async reopen(path: string, bridge: string, migration: string): Promise<BridgedNamespace> {
    return new BridgedNamespace(
      { kind: "path", path, interfaces: await interfacesOf(path), routes: [] },
      bridge,
      migration,
    );
  }

  /** @throws AgentError REFUSED when somebody else has a namespace of that name */
  async requireFree(): Promise<void> {
    if (!existsSync(this.network.path)) return;
    throw new AgentError("REFUSED", `the network namespace ${this.network.path} exists here already`, {
      remedy: `remove it (ip netns delete ${this.name}) if nothing uses it`,
    });
  }

  /** @throws AgentError NETWORK; nothing is left behind then */
  async prepare(): Promise<void> {
    await command("ip", ["netns", "add", this.name], { code: "NETWORK" });
    try {
      // Silent before there is anything that could speak.
      await new NetworkLock(this.network.path, "destination").lock();
      await this.batch(
        [],
        [...this.network.interfaces.entries()].map(([i, one]) => this.linkCommand(i, one)),
      );
      for (const one of this.network.interfaces) await announceOnChange(this.network.path, one.name);
      await this.batch(["-n", this.name], this.insideCommands());
    } catch (error) {
      await this.remove();
      throw error;
    }
  }

  /** The addresses are here now: joins the bridge and announces them. Idempotent. */
  async takeOver(): Promise<void> {
    const join = this.network.interfaces.map(
      (_, i) => `link set ${hostInterface(this.migration, i)} master ${this.bridge}`,
    );
    await this.batch([], join);
    await this.announce();
  }

  announce(): Promise<void> {
    return announce(this.network.path, this.network.interfaces);
  }

  /** Removes the namespace and with it all interfaces. Idempotent. */
  async remove(): Promise<void> {
    await removeNamespace(this.network.path);
  }

  private linkCommand(index: number, one: NetworkInterface): string {
    const host = hostInterface(this.migration, index);
    return (
      `link add name ${host} mtu ${one.mtu} type veth peer name ${one.name} address ${one.mac} mtu ${one.mtu} netns ${this.name}\n` +
      `link set ${host} up`
    );
  }

  private insideCommands(): string[] {
    const commands = ["link set lo up"];
    for (const one of this.network.interfaces) {
      // No duplicate address detection: the source's silence is known, and an address must not start as tentative.
      for (const a of one.addresses)
        commands.push(`addr add ${a} dev ${one.name}${a.includes(":") ? " nodad" : " brd +"}`);
      if (one.up) commands.push(`link set ${one.name} up`);
    }
    // Routes to a gateway need those to the gateway's network first.
    const sorted = [...this.network.routes].sort(
      (a, b) => Number(a.gateway !== undefined) - Number(b.gateway !== undefined),
    );
    return [...commands, ...sorted.map(routeCommand)];
  }

  private async batch(options: readonly string[], commands: readonly string[]): Promise<void> {
    if (commands.length === 0) return;
    await command("ip", [...options, "-batch", "-"], { code: "NETWORK", input: `${commands.join("\n")}\n` });
  }
}

function routeCommand(one: Route): string {
  const parts = [one.family === "inet6" ? "-6 " : "", `route replace ${one.destination} dev ${one.device}`];
  if (one.gateway !== undefined) parts.push(` via ${one.gateway} onlink`);
  if (one.source !== undefined) parts.push(` src ${one.source}`);
  if (one.metric !== undefined) parts.push(` metric ${one.metric}`);
  if (one.scope !== undefined && one.gateway === undefined) parts.push(` scope ${one.scope}`);
  return parts.join("").replace(/^-6 route/, "route");
}

/** Lets the kernel send gratuitous ARP and neighbour advertisements whenever the interface's address is set. */
async function announceOnChange(netns: string, name: string): Promise<void> {
  const set = `echo 1 >/proc/sys/net/ipv4/conf/"$1"/arp_notify; [ ! -e /proc/sys/net/ipv6/conf/"$1" ] || echo 1 >/proc/sys/net/ipv6/conf/"$1"/ndisc_notify`;
  await command("nsenter", [`--net=${netns}`, "sh", "-c", set, "sh", name], { code: "NETWORK" });
}

/** Makes the kernel announce the addresses of these interfaces: setting the MAC address to what it is does. */
export async function announce(netns: string, interfaces: readonly NetworkInterface[]): Promise<void> {
  const input = interfaces
    .filter((one) => one.up)
    .map((one) => `link set ${one.name} address ${one.mac}\n`)
    .join("");
  if (input !== "")
    await command("nsenter", [`--net=${netns}`, "ip", "-batch", "-"], { code: "NETWORK", input });
}

/** After a rollback: switches may have learnt the other side, so the source says again where it is. */
export async function reannounce(netns: string, interfaces: readonly NetworkInterface[]): Promise<void> {
  for (const one of interfaces) await announceOnChange(netns, one.name);
  await announce(netns, interfaces);
}

/**
 * Removes a namespace that has a name, its interfaces first: sockets of the container that are still saying goodbye would keep
 * a namespace alive for minutes, and with it the host's end of each pair. Idempotent.
 */
export async function removeNamespace(path: string): Promise<void> {
  const name = namespaceName(path);
  if (name === undefined || !existsSync(path)) return;
  const links = (await interfacesOf(path)).map((one) => `link delete ${one.name}\n`).join("");
  if (links !== "")
    await command("ip", ["-n", name, "-force", "-batch", "-"], { code: "NETWORK", input: links }).catch(
      () => undefined,
    );
  await command("ip", ["netns", "delete", name], { code: "NETWORK" });
}
