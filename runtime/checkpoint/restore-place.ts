/** The folder of one restore: the shadow of the image, the overlay's socket, the engine's log. */
import { createHash } from "node:crypto";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { removeScratch } from "../migration/scratch.js";

const DESCRIPTORS = "descriptors.json";
/** A tmpfs. A bundle's own folder would be the natural place, but its path is too long for a socket. */
export const RESTORES = "/run/pclive/r";

/** Where the restore of the container in this bundle has its files: for whoever cleans up after a dead shim. */
export function restoreFolder(bundle: string, folder = RESTORES): string {
  return join(folder, createHash("sha256").update(bundle).digest("hex").slice(0, 32));
}

export class RestorePlace {
  readonly shadow: string;
  readonly socket: string;
  readonly engineLog: string;
  /** Makes CRIU wait for the engine. */
  readonly environment: NodeJS.ProcessEnv;

  private constructor(readonly root: string) {
    this.shadow = join(root, "image");
    this.socket = join(root, "stage.sock");
    this.engineLog = join(root, "engine.log");
    this.environment = { PCLIVE_SOCKET: this.socket };
  }

  /** What an earlier restore left there goes: a container is restored by one shim only, one at a time. */
  static async create(bundle: string, image: string): Promise<RestorePlace> {
    const place = new RestorePlace(restoreFolder(bundle));
    await removeScratch(place.root);
    await mkdir(place.shadow, { recursive: true, mode: 0o700 });
    // runC reads this file before it starts CRIU; the engine adds the others.
    await symlink(join(image, DESCRIPTORS), join(place.shadow, DESCRIPTORS));
    return place;
  }

  async remove(): Promise<void> {
    await removeScratch(this.root);
  }
}
