import type { Target } from "../target.js";
import { bootstrap } from "./bootstrap.js";
import { bundle } from "./bundle.js";
import { ttrpcClient } from "./client.js";
import { flags } from "./flags.js";
import { frames } from "./frames.js";
import { patches } from "./patches.js";
import { ttrpcServer } from "./server.js";

export const TARGETS: readonly Target[] = [
  frames,
  ttrpcServer,
  ttrpcClient,
  bundle,
  flags,
  bootstrap,
  patches,
];
