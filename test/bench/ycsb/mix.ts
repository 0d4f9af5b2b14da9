/** YCSB's core workloads: which operations, how often, on which records. */
import type { Random } from "./random.js";
import { Latest, Scrambled } from "./zipfian.js";

export type Operation =
  | { readonly kind: "read" | "update" | "insert" | "read-modify-write"; readonly record: number }
  | { readonly kind: "scan"; readonly record: number; readonly length: number };
type Kind = Operation["kind"];

interface CoreWorkload {
  readonly what: string;
  /** They add up to 1. */
  readonly shares: Partial<Record<Kind, number>>;
  readonly records: "zipfian" | "latest";
}

export const CORE = {
  a: { what: "update heavy", shares: { read: 0.5, update: 0.5 }, records: "zipfian" },
  b: { what: "read mostly", shares: { read: 0.95, update: 0.05 }, records: "zipfian" },
  c: { what: "read only", shares: { read: 1 }, records: "zipfian" },
  d: { what: "read latest", shares: { read: 0.95, insert: 0.05 }, records: "latest" },
  e: { what: "short ranges", shares: { scan: 0.95, insert: 0.05 }, records: "zipfian" },
  f: {
    what: "read, modify, write",
    shares: { read: 0.5, "read-modify-write": 0.5 },
    records: "zipfian",
  },
} as const satisfies Record<string, CoreWorkload>;

export type CoreName = keyof typeof CORE;
export const CORE_NAMES = Object.keys(CORE) as CoreName[];

const LONGEST_SCAN = 100;

export class Mix {
  private readonly workload: CoreWorkload;
  private readonly scrambled: Scrambled;
  private readonly latest: Latest;

  /** @param count records that there are at the beginning */
  constructor(
    name: CoreName,
    private count: number,
    private readonly random: Random,
  ) {
    this.workload = CORE[name];
    this.scrambled = new Scrambled(count, random);
    this.latest = new Latest(count, random);
  }

  next(): Operation {
    const kind = this.kind();
    if (kind === "insert") return { kind, record: this.count++ };
    const record = this.workload.records === "latest" ? this.latest.next(this.count) : this.scrambled.next();
    if (kind !== "scan") return { kind, record };
    return { kind, record, length: 1 + Math.floor(this.random() * LONGEST_SCAN) };
  }

  private kind(): Kind {
    let dice = this.random();
    for (const [kind, share] of Object.entries(this.workload.shares) as [Kind, number][]) {
      if (dice < share) return kind;
      dice -= share;
    }
    return "read";
  }
}
