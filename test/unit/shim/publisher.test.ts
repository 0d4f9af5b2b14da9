import assert from "node:assert/strict";
import pino from "pino";
import type { TaskEvent } from "../../../shim/events/events.js";
import { NobodyThere, Publisher } from "../../../shim/events/publisher.js";

const silent = pino({ level: "silent" });
const event = (topic: string): TaskEvent => ({ topic, payload: {}, at: 0 });

describe("publisher", () => {
  it("keeps the order, also when a call fails", async () => {
    const delivered: string[] = [];
    let failures = 2;
    const publisher = new Publisher(
      async ({ topic }) => {
        if (topic === "b" && failures-- > 0) throw new Error("away");
        delivered.push(topic);
      },
      silent,
      1,
    );
    for (const topic of ["a", "b", "c"]) publisher.publish(event(topic));
    assert.equal(await publisher.flush(1000), true);
    assert.deepEqual(delivered, ["a", "b", "c"]);
  });

  it("drops what cannot be delivered and goes on", async () => {
    const delivered: string[] = [];
    const deliver = async ({ topic }: TaskEvent) => {
      if (topic === "bad") throw new Error("refused");
      delivered.push(topic);
    };
    const publisher = new Publisher(deliver, silent, 1);
    publisher.publish(event("bad"));
    publisher.publish(event("good"));
    assert.equal(await publisher.flush(1000), true);
    assert.deepEqual(delivered, ["good"]);
  });

  it("keeps what happens while nobody is there, however long", async () => {
    const delivered: string[] = [];
    let attempts = 0;
    const deliver = async ({ topic }: TaskEvent) => {
      if (++attempts <= 50) throw new NobodyThere("away");
      delivered.push(topic);
    };
    const publisher = new Publisher(deliver, silent, 0);
    for (const topic of ["start", "exit"]) publisher.publish(event(topic));
    assert.equal(await publisher.flush(5000), true);
    assert.deepEqual(delivered, ["start", "exit"]);
  });

  it("bounds the wait for a containerd that does not answer", async () => {
    const publisher = new Publisher(() => new Promise(() => {}), silent, 1);
    publisher.publish(event("a"));
    assert.equal(await publisher.flush(20), false);
  });
});
