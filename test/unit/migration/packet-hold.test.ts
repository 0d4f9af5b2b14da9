import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { fileURLToPath } from "node:url";
import { NetworkLock } from "../../../runtime/migration/netlock.js";
import { PacketHold } from "../../../runtime/migration/packet-hold.js";

const ENGINE = fileURLToPath(new URL("../../../../../build/native/engine/pclive-engine", import.meta.url));
const NAME = `pclhold${process.pid}`;
const NETNS = `/run/netns/${NAME}`;
const HOST_END = `ph${process.pid}`.slice(0, 15);
const THERE = "10.213.7.2";
const PORT = 7999;
const RECEIVER = `
  const socket = require("node:dgram").createSocket("udp4");
  socket.on("message", (text) => console.log(String(text)));
  socket.bind(${PORT}, () => console.log("bound"));`;

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const ip = (words: string): void => void execFileSync("ip", words.split(" "));

describe("the packet hold", function () {
  this.timeout(20_000);
  let receiver: ChildProcess;
  let received = "";
  const lines = () => received.split("\n").filter((line) => line !== "");

  before(async () => {
    ip(`netns add ${NAME}`);
    ip(`link add ${HOST_END} type veth peer name eth0 netns ${NAME}`);
    ip(`addr add 10.213.7.1/30 dev ${HOST_END}`);
    ip(`link set ${HOST_END} up`);
    ip(`-n ${NAME} addr add ${THERE}/30 dev eth0`);
    ip(`-n ${NAME} link set eth0 up`);
    receiver = spawn("nsenter", [`--net=${NETNS}`, process.execPath, "-e", RECEIVER]);
    receiver.stdout?.on("data", (chunk: Buffer) => (received += chunk.toString()));
    while (!received.includes("bound")) await sleep(20);
  });

  after(() => {
    receiver.kill("SIGKILL");
    ip(`link delete ${HOST_END}`);
    ip(`netns delete ${NAME}`);
  });

  it("delivers what came under the lock, once, in order, when it is released", async () => {
    const lock = new NetworkLock(NETNS, "destination");
    await lock.lock();
    const hold = new PacketHold(ENGINE, NETNS);
    await sleep(300);
    const socket = createSocket("udp4");
    for (const text of ["one", "two", "three"]) {
      await new Promise((resolve) => socket.send(`${text}\n`, PORT, THERE, resolve));
    }
    await sleep(200);
    assert.equal(received, "bound\n", "the lock let something through");
    await lock.unlock();
    hold.release();
    await sleep(300);
    socket.close();
    assert.deepEqual(lines(), ["bound", "one", "two", "three"]);
  });

  it("does not deliver again what came before it was told to keep", async () => {
    received = "";
    const hold = new PacketHold(ENGINE, NETNS);
    await sleep(300);
    const socket = createSocket("udp4");
    const send = (text: string) => new Promise((resolve) => socket.send(`${text}\n`, PORT, THERE, resolve));
    await send("before");
    await sleep(100);
    hold.keep();
    const lock = new NetworkLock(NETNS, "input");
    await lock.lock();
    await send("under the lock");
    await sleep(100);
    assert.deepEqual(lines(), ["before"]);
    lock.prepare();
    await lock.open();
    hold.release();
    await sleep(300);
    await lock.unlock();
    socket.close();
    assert.deepEqual(lines(), ["before", "under the lock"]);
  });
});
