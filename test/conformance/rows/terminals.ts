/** What becomes of a terminal whose client has gone for good: CloseIO, and its end of the input closed. */
import { closeSync, constants, openSync, writeSync } from "node:fs";
import type { Spec } from "../bundle.js";
import type { Container } from "../container.js";
import { row } from "../row.js";
import type { Scene } from "../scene.js";

const terminal = {
  spec: (spec: Spec) => {
    spec.process.terminal = true;
  },
};
const LOOP = "while :; do sleep 0.05; done";

interface Typist {
  readonly c: Container;
  readonly text: Promise<string>;
  type(text: string): void;
  leave(): void;
}

/** A client that sits at the terminal of a new container's init. */
async function typist(scene: Scene, args: readonly string[]): Promise<Typist> {
  const c = await scene.container(args, terminal);
  const [stdin, stdout] = [scene.fifo("in"), scene.fifo("out")];
  const text = scene.collect(stdout);
  const client = openSync(stdin, constants.O_RDWR);
  await c.create({ stdin, stdout, terminal: true });
  await c.start();
  return { c, text, type: (line) => writeSync(client, line), leave: () => closeSync(client) };
}

const waits = ({ c }: Typist, label: string) => c.blocked(label, c.shim.task.Wait({ id: c.id }));

export const terminalRows = [
  row("terminal: the client leaves, without CloseIO", async (scene) => {
    const one = await typist(scene, ["cat"]);
    one.type("line\n");
    one.leave();
    await waits(one, "wait");
    await one.c.kill(9);
    await one.c.wait();
  }),
  row("terminal: CloseIO, while the client is there", async (scene) => {
    const one = await typist(scene, ["cat"]);
    await one.c.closeStdin();
    one.type("line\n");
    await waits(one, "wait");
    await one.c.kill(9);
    await one.c.wait();
    scene.note("echo", (await one.text).startsWith("line"));
    one.leave();
  }),
  row("terminal: hung up, when the client has left and after CloseIO", async (scene) => {
    const one = await typist(scene, ["sh", "-c", "echo up; cat; exit 4"]);
    await one.c.blocked("wait", one.c.shim.task.Wait({ id: one.c.id }));
    one.leave();
    await waits(one, "client gone");
    await one.c.closeStdin();
    await one.c.wait();
    scene.note("what it had said", JSON.stringify((await one.text).slice(0, 4)));
    await one.c.state();
  }),
  row("terminal: hung up, a process hears of it", async (scene) => {
    const one = await typist(scene, ["sh", "-c", `trap 'exit 5' HUP; echo up; ${LOOP}`]);
    await waits(one, "wait");
    await one.c.closeStdin();
    one.leave();
    await one.c.wait();
    scene.note("output", JSON.stringify(await one.text));
  }),
  row("terminal: hung up, the output ends although the process goes on", async (scene) => {
    const one = await typist(scene, ["sh", "-c", `trap '' HUP; echo up; ${LOOP}`]);
    await waits(one, "wait");
    await one.c.closeStdin();
    one.leave();
    scene.note("output", JSON.stringify(await one.text));
    await waits(one, "process");
    await one.c.state();
    await one.c.resize(80, 25);
    await one.c.closeStdin("", { as: "CloseIO again" });
    await one.c.exec("e", ["true"]);
    await one.c.start("e");
    await one.c.wait("e");
    await one.c.kill(9);
    await one.c.wait();
  }),
  row("terminal: hung up, an exec's", async (scene) => {
    const c = await scene.running();
    const [stdin, stdout] = [scene.fifo("in"), scene.fifo("out")];
    const text = scene.collect(stdout);
    const client = openSync(stdin, constants.O_RDWR);
    await c.exec("e", ["sh", "-c", `echo up; ${LOOP}`], { stdin, stdout, terminal: true });
    await c.start("e");
    await c.blocked("wait", c.shim.task.Wait({ id: c.id, execId: "e" }));
    await c.closeStdin("e");
    closeSync(client);
    await c.wait("e");
    scene.note("output", JSON.stringify(await text));
    await c.delete("e");
    await c.state();
  }),
  row("terminal: CloseIO of one without input", async (scene) => {
    const c = await scene.container(["sh", "-c", LOOP], terminal);
    const stdout = scene.fifo("out");
    void scene.collect(stdout);
    await c.create({ stdout, terminal: true });
    await c.start();
    await c.closeStdin();
    await c.blocked("wait", c.shim.task.Wait({ id: c.id }));
    await c.resize(80, 25);
  }),
];
