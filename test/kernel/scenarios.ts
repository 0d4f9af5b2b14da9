/** What a probe can do with a shim, by name. Results are plain JSON, the same for two shims that behave alike. */
import type { ShimBench } from "../integration/shim/bundle.js";
import * as freezer from "./freezer.js";
import * as oom from "./oom.js";
import * as stats from "./stats.js";

export type Scenario = (bench: ShimBench) => Promise<unknown>;

export const scenarios: ReadonlyMap<string, Scenario> = new Map(
  [stats, oom, freezer].flatMap((group) => Object.entries(group)),
);
