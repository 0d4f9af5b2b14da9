/** Redis under YCSB's core workloads. */
import { CORE, type CoreName } from "../../ycsb/mix.js";
import {
  BENCH,
  eventually,
  jsonClient,
  NODE,
  type Place,
  type Running,
  removeContainer,
  runContainer,
  type Workload,
} from "./workload.js";

/** What Redis takes for a record of ten fields of 100 bytes and its place in the index: measured by used_memory. */
const BYTES_PER_RECORD = 1880;
const RATE = 1000;
/** A scan reads fifty records on average. */
const SCAN_RATE = 25;
const CONNECTIONS = 8;
const POPULATE_MS = 300_000;

export function ycsb(name: CoreName): Workload {
  const rate = name === "e" ? SCAN_RATE : RATE;
  return {
    what: `Redis, YCSB ${name.toUpperCase()} (${CORE[name].what}), ${rate} operations/s offered`,
    unit: "operations",
    async start(place: Place, memoryMb: number): Promise<Running> {
      const { lab, id, address } = place;
      const client = [NODE, `${BENCH}/ycsb/main.js`, "--host", address];
      await runContainer(place, "redis");
      await eventually(() => lab.exec("c", ["redis-cli", "-h", address, "ping"]), 20_000);
      const records = Math.round((memoryMb * 1e6) / BYTES_PER_RECORD);
      await lab.exec("c", [...client, "--populate", String(records)], { timeoutMs: POPULATE_MS });
      return {
        load: () =>
          jsonClient(lab, [
            ...client,
            ...["--workload", name, "--rate", String(rate), "--connections", String(CONNECTIONS)],
            ...["--duration", "300"],
          ]),
        // The client compares every answer, and reads in the end what it wrote.
        verify: async () => undefined,
        remove: (host) => removeContainer(lab, host, id),
      };
    },
  };
}
