/** Programs of our own that know what their memory must hold: nobody asks them anything, they tell how far they have come. */
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

const PORT = 7878;
const VERIFY_MS = 120_000;
const START_MS = 120_000;

interface Program {
  readonly image: string;
  readonly what: string;
  readonly unit: string;
  words(memoryMb: number): string[];
}

function watched({ image, what, unit, words }: Program): Workload {
  return {
    what,
    unit,
    prepare: async (lab) => {
      await lab.image("a", image);
    },
    async start(place: Place, memoryMb: number): Promise<Running> {
      const { lab, address, id } = place;
      const watcher = [NODE, `${BENCH}/evaluation/workloads/pulse.js`, address, String(PORT)];
      const verify = async (): Promise<void> => {
        await lab.exec("c", [...watcher, "verify"], { timeoutMs: VERIFY_MS });
      };
      await runContainer(place, image, [image, ...words(memoryMb), String(PORT)]);
      await eventually(verify, START_MS);
      return {
        load: () => jsonClient(lab, [...watcher, "watch"]),
        verify,
        remove: (host) => removeContainer(lab, host, id),
      };
    },
  };
}

/** Megabytes a second. */
const WRITES = 50;

export const memhog = watched({
  image: "memhog",
  what: `memhog: rewrites ${WRITES} MiB/s of its memory, page after page`,
  unit: "pages",
  words: (memoryMb) => [String(memoryMb), String(WRITES)],
});

/** Of a graph with 16 edges for each vertex, with what a search needs: measured by RSS. */
const BYTES_PER_VERTEX = 136;

export const bfs = watched({
  image: "bfs",
  what: "breadth-first searches of an R-MAT graph, as Graph500 makes them; one processor busy",
  unit: "edges",
  words: (memoryMb) => [String(Math.max(4, Math.floor(Math.log2((memoryMb * 1e6) / BYTES_PER_VERTEX))))],
});
