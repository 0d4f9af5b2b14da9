/**
 * MariaDB under sysbench's OLTP transactions. Its data are in a folder that both hosts have, as a network file system would give it to them,
 * or in the container's own writable layer, which moves along.
 */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Lab } from "../../../lab/lab.js";
import { SHARED, shareFolder } from "../../../lib/shared-folder.js";
import { readTransactions } from "./transactions.js";
import {
  ClientProgram,
  eventually,
  type Place,
  type Running,
  removeContainer,
  runContainer,
  type Workload,
} from "./workload.js";

const BUILD = "/repo/build/bench";
const CLIENT = `${BUILD}/mariadb-client`;
const TABLES = 4;
const THREADS = 4;
/** Transactions a second: 14 to 20 queries each. */
const RATE = 50;
/** Of a table's rows, with their two indexes: measured. */
const BYTES_PER_ROW = 250;
const SECONDS = 300;
// build/js/test/bench/evaluation/workloads → the script in the sources
const IMAGE_SCRIPT = fileURLToPath(new URL("../../../../../../test/bench/mariadb-image.sh", import.meta.url));

const KINDS = {
  ro: { script: "oltp_read_only", what: "read-only", shared: true },
  rw: { script: "oltp_read_write", what: "read-write", shared: true },
  own: { script: "oltp_read_write", what: "read-write, tables in the writable layer", shared: false },
} as const;

export function mariadb(kind: keyof typeof KINDS): Workload {
  const { script, what, shared } = KINDS[kind];
  return {
    what: `MariaDB, sysbench OLTP ${what}, ${RATE} transactions/s offered`,
    unit: "transactions",
    prepare,
    async start(place: Place, memoryMb: number): Promise<Running> {
      const { lab, host, id, address } = place;
      const data = `${SHARED}/${id}`;
      const server = ["mariadbd", `--innodb-buffer-pool-size=${Math.round(memoryMb * 1.3)}M`];
      const client = new Client(lab, address, Math.round((memoryMb * 1e6) / TABLES / BYTES_PER_ROW));
      await lab.exec(host, [
        "sh",
        "-c",
        `rm -rf ${data} && mkdir -p ${data} && cp -a ${BUILD}/mariadb-data/. ${data}`,
      ]);
      await runContainer(
        place,
        "mariadb",
        shared ? server : ["sh", "-c", `cp -a /seed/. /data && exec ${server.join(" ")}`],
        ["--mount", `type=bind,src=${data},dst=/${shared ? "data" : "seed"},options=rbind:rw`],
      );
      await eventually(() => client.sql("select 1"), 20_000);
      await client.sql("create database sbtest");
      await client.prepare();
      const stopFile = `/tmp/${id}.stop`;
      await lab.exec("c", ["rm", "-f", stopFile]);
      return {
        load: () => client.load(script, stopFile),
        verify: () => client.check(),
        remove: async (where) => {
          await removeContainer(lab, where, id);
          await lab.exec(where, ["rm", "-rf", data]);
        },
      };
    },
  };
}

/** The image, sysbench, and one folder for both hosts. */
async function prepare(lab: Lab): Promise<void> {
  await promisify(execFile)(IMAGE_SCRIPT, { timeout: 1_500_000 });
  await lab.exec("a", ["ctr", "image", "import", `${BUILD}/mariadb.tar`], { timeoutMs: 120_000 });
  await shareFolder(lab);
}

/** sysbench and the mariadb command on the client host, from the folder that the image script made. */
class Client {
  constructor(
    private readonly lab: Lab,
    private readonly address: string,
    private readonly rows: number,
  ) {}

  async sql(statement: string): Promise<string> {
    const program = [`${CLIENT}/usr/bin/mariadb`, "--no-defaults", "-h", this.address, "-u", "root", "-N"];
    return (await this.lab.exec("c", [...environment(), ...program, "-e", statement], { timeoutMs: 120_000 }))
      .stdout;
  }

  async prepare(): Promise<void> {
    const script = `${CLIENT}/usr/share/sysbench/oltp_common.lua`;
    await this.lab.exec("c", [...environment(), ...this.sysbench(), script, "prepare"], {
      timeoutMs: 300_000,
    });
  }

  load(script: string, stopFile: string): ClientProgram {
    const variables = [`EVALUATION_KIND=${script}`, `EVALUATION_STOP=${stopFile}`];
    const words = [`--threads=${THREADS}`, `--rate=${RATE}`, `--time=${SECONDS}`];
    const child = this.lab.spawn("c", [
      ...environment(variables),
      ...this.sysbench(),
      ...words,
      "/repo/test/bench/evaluation/workloads/sysbench.lua",
      "run",
    ]);
    return new ClientProgram(
      child,
      () => this.lab.exec("c", ["touch", stopFile]),
      (stdout, code) => readTransactions(stdout, code, RATE),
    );
  }

  /** @throws when a table is damaged or has lost rows */
  async check(): Promise<void> {
    const tables = Array.from({ length: TABLES }, (_, i) => `sbtest.sbtest${i + 1}`);
    const checks = await this.sql(`check table ${tables.join(", ")} extended`);
    if (
      checks.trim().split("\n").length !== TABLES ||
      !checks
        .trim()
        .split("\n")
        .every((l) => /\tOK$/.test(l))
    )
      throw new Error(`tables are damaged: ${checks}`);
    // Every transaction deletes a row and inserts it anew.
    for (const table of tables) {
      const count = Number(await this.sql(`select count(*) from ${table}`));
      if (count !== this.rows) throw new Error(`${table} has ${count} rows instead of ${this.rows}`);
    }
  }

  private sysbench(): string[] {
    return [
      `${CLIENT}/usr/bin/sysbench`,
      ...["--db-driver=mysql", `--mysql-host=${this.address}`, "--mysql-user=root", "--mysql-db=sbtest"],
      ...[`--tables=${TABLES}`, `--table-size=${this.rows}`],
    ];
  }
}

function environment(more: readonly string[] = []): string[] {
  const libraries = `LD_LIBRARY_PATH=${CLIENT}/usr/lib/x86_64-linux-gnu`;
  return ["env", libraries, `LUA_PATH=${CLIENT}/usr/share/sysbench/?.lua`, ...more];
}
