/** `pclive protect` as a user calls it. */
import type { pclive } from "#protos/agent";
import type { Lab } from "../lab/lab.js";

export type Protection = pclive.agent.v1.IProtection & { images: pclive.agent.v1.IProtectedImage[] };

export async function protect(lab: Lab, host: string, id: string, ...flags: string[]): Promise<void> {
  await lab.exec(host, ["pclive", "protect", id, "--tcp-established", ...flags]);
}

/** What the agent says of a container's protection. */
export async function protection(lab: Lab, host: string, id: string): Promise<Protection> {
  const { stdout } = await lab.exec(host, ["pclive", "protect", id, "--list", "--json"]);
  const [one] = JSON.parse(stdout) as Protection[];
  if (!one) throw new Error(`${id} is not protected on ${host}`);
  return one;
}

/** Waits for a state of the protection. */
export async function protectionUntil(
  lab: Lab,
  host: string,
  id: string,
  holds: (one: Protection) => boolean,
  timeoutMs = 30_000,
): Promise<Protection> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const one = await protection(lab, host, id);
    if (holds(one)) return one;
    if (Date.now() > deadline) throw new Error(`waited in vain; the protection is ${JSON.stringify(one)}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** An image that was begun from now on is there. @returns its name */
export async function nextImage(lab: Lab, host: string, id: string): Promise<string> {
  const now = Date.now();
  const one = await protectionUntil(lab, host, id, ({ images }) => (images.at(-1)?.at ?? 0) > now);
  return one.images.at(-1)?.name ?? "";
}
