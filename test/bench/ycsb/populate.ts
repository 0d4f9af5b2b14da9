/** Fills the table: commands are written as one stream, answers only counted. */
import { once } from "node:events";
import { connect } from "node:net";
import { FIELDS, fieldName, fieldValue, keyOf } from "./record.js";
import { INDEX, PORT } from "./store.js";

const BATCH = 200;
const LIMIT_MS = 300_000;

function command(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join("")}`;
}

/** Version 0 of a record, and its place in the index. */
function insertion(record: number): string {
  const fields = Array.from({ length: FIELDS }, (_, field) => [
    fieldName(field),
    fieldValue(record, field, 0),
  ]);
  return command(["HSET", keyOf(record), ...fields.flat()]) + command(["ZADD", INDEX, "0", keyOf(record)]);
}

/** @throws when Redis answers with anything but a number, or not within five minutes */
export async function populate(host: string, records: number): Promise<void> {
  const socket = connect({ host, port: PORT });
  socket.setTimeout(LIMIT_MS, () => socket.destroy(new Error("Redis does not answer")));
  let answers = 0;
  const answered = new Promise<void>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("Redis closed the connection")));
    socket.on("data", (chunk: Buffer) => {
      const text = chunk.toString("latin1");
      if (text.includes("-")) reject(new Error(`Redis says: ${text.slice(0, 100)}`));
      answers += text.split("\n").length - 1;
      if (answers === 2 * records) resolve();
    });
  });
  for (let from = 0; from < records; from += BATCH) {
    let batch = "";
    for (let record = from; record < Math.min(records, from + BATCH); record++) batch += insertion(record);
    if (!socket.write(batch, "latin1")) await Promise.race([once(socket, "drain"), answered]);
  }
  await answered;
  socket.destroy();
}
