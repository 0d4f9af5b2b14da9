/** What every container of one shim shares. */
import type { RunCommand } from "../../runtime/runc/index.js";
import type { EventSink } from "../events/publisher.js";
import type { Log } from "../log.js";
import type { Reaper } from "./reaper.js";

export interface ShimEnv {
  readonly namespace: string;
  readonly log: Log;
  readonly reaper: Reaper;
  readonly events: EventSink & {
    /** An event comes soon, and there is time to get ready for it. */
    prepare(): void;
  };
  /** Environment for runC: ours, with our CRIU first on the PATH. */
  readonly runcEnv: NodeJS.ProcessEnv;
  readonly runCommand: RunCommand;
}
