/**
 * Which image of a protected container is complete by itself, and which are not needed any more. Between complete ones there
 * are images of what changed since the one before; each needs all before it, down to the complete one.
 */

export interface Link {
  readonly name: string;
  /** The image before it that it needs; empty: it is complete by itself. */
  readonly parent: string;
  readonly bytes: number;
}

/** A restore looks for a page in one image after the other: there should not be too many. */
export const MAX_CHAIN = 16;

/**
 * Whether the next image has to be complete by itself. Once the changes have taken as much room as that, it costs no more than
 * all of them did: so on the average, what is written is at most twice what has changed.
 */
export function nextIsComplete(images: readonly Link[]): boolean {
  const chain = chainOf(images, images.at(-1));
  const complete = chain.at(-1);
  if (complete === undefined || complete.parent !== "" || chain.length >= MAX_CHAIN) return true;
  const changes = chain.slice(0, -1).reduce((sum, image) => sum + image.bytes, 0);
  return changes >= complete.bytes;
}

/** Names that can go when the newest `keep` shall be restored, in an order in which none ever lacks its parent. */
export function superfluous(images: readonly Link[], keep: number): string[] {
  const needed = new Set(
    images.slice(-keep).flatMap((image) => chainOf(images, image).map((one) => one.name)),
  );
  return images
    .map((image) => image.name)
    .filter((name) => !needed.has(name))
    .reverse();
}

/** An image and those that it needs, itself first. */
export function chainOf<T extends Link>(images: readonly T[], from: T | undefined): T[] {
  const byName = new Map(images.map((image) => [image.name, image]));
  const chain: T[] = [];
  for (let at = from; at !== undefined && !chain.includes(at); at = byName.get(at.parent)) chain.push(at);
  return chain;
}
