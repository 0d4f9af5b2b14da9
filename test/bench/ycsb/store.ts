/**
 * YCSB's table in Redis: a hash for each record and a sorted set of all keys for scans. All that is about one record goes over one connection,
 * so it happens in the order in which it was sent, and each answer can be compared with the one right answer.
 */
import { createClient } from "@redis/client";
import { FIELDS, fieldName, fieldValue, keyOf, Versions, versionIn } from "./record.js";

export const INDEX = "usertable";
export const PORT = 6379;

type Connection = Awaited<ReturnType<typeof connect>>;

async function connect(host: string, onBroken: (error: Error) => void) {
  const socket = { host, port: PORT, reconnectStrategy: false as const, connectTimeout: 5000 };
  const client = createClient({ socket, RESP: 2 });
  client.on("error", onBroken);
  await client.connect();
  return client;
}

/** What the store tells of answers that it did not expect. */
export interface Complaints {
  mistake(what: string): void;
}

export class Store {
  readonly versions = new Versions();
  private readonly records = new Map<string, number>();

  private constructor(
    private readonly connections: readonly Connection[],
    private readonly complaints: Complaints,
  ) {}

  static async open(
    host: string,
    connections: number,
    complaints: Complaints,
    onBroken: (error: Error) => void,
  ): Promise<Store> {
    const all = await Promise.all(Array.from({ length: connections }, () => connect(host, onBroken)));
    return new Store(all, complaints);
  }

  /** Records that there are; their keys are learned, for scans. */
  async count(): Promise<number> {
    const count = Number(await this.first().sendCommand(["ZCARD", INDEX]));
    for (let record = 0; record < count; record++) this.records.set(keyOf(record), record);
    return count;
  }

  async insert(record: number): Promise<void> {
    const key = keyOf(record);
    this.records.set(key, record);
    const words = Array.from({ length: FIELDS }, (_, field) => [
      fieldName(field),
      fieldValue(record, field, this.versions.next(record, field)),
    ]);
    await this.of(record).sendCommand(["HSET", key, ...words.flat()]);
    await this.first().sendCommand(["ZADD", INDEX, "0", key]);
  }

  async update(record: number, field: number): Promise<void> {
    const value = fieldValue(record, field, this.versions.next(record, field));
    const added = await this.of(record).sendCommand(["HSET", keyOf(record), fieldName(field), value]);
    if (Number(added) !== 0)
      this.complaints.mistake(`update of record ${record}: field ${field} was not there`);
  }

  async read(record: number): Promise<void> {
    const expected = this.versions.of(record);
    const answer = await this.of(record).sendCommand(["HGETALL", keyOf(record)]);
    const complaint = complaintOf(record, expected, answer);
    if (complaint !== undefined) this.complaints.mistake(`read of record ${record}: ${complaint}`);
  }

  async scan(from: number, length: number): Promise<void> {
    const words = ["ZRANGE", INDEX, `[${keyOf(from)}`, "+", "BYLEX", "LIMIT", "0", String(length)];
    const keys = await this.first().sendCommand(words);
    const found = Array.isArray(keys) ? keys.map(String) : [];
    if (found[0] !== keyOf(from)) this.complaints.mistake(`scan from ${from}: begins with ${found[0]}`);
    await Promise.all(found.map((key) => this.readKey(key)));
  }

  close(): void {
    for (const connection of this.connections) connection.destroy();
  }

  private async readKey(key: string): Promise<void> {
    const record = this.records.get(key);
    if (record === undefined) this.complaints.mistake(`scan: nobody wrote ${key}`);
    else await this.read(record);
  }

  private of(record: number): Connection {
    return this.connections[record % this.connections.length] as Connection;
  }

  private first(): Connection {
    return this.of(0);
  }
}

/** @returns what is wrong with a record's fields, or undefined */
function complaintOf(
  record: number,
  expected: readonly (number | undefined)[],
  answer: unknown,
): string | undefined {
  const words = (Array.isArray(answer) ? answer : []).map(String);
  if (words.length !== 2 * FIELDS) return `${words.length / 2} fields`;
  for (let i = 0; i < words.length; i += 2) {
    const field = Number((words[i] ?? "").slice("field".length));
    const version = versionIn(record, field, words[i + 1] ?? "");
    if (version === undefined) return `field ${field} holds ${words[i + 1]?.slice(0, 40)}`;
    const must = expected[field];
    if (must !== undefined && version !== must)
      return `field ${field} has version ${version} instead of ${must}`;
  }
  return undefined;
}
