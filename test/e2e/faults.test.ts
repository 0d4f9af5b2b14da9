/**
 * Every process that takes part in a migration is killed in every phase before the commit: the container goes on at
 * the source and nothing is left at the destination. In the switchover a kill may come after the commit:
 * then the container runs at the destination. Never two, never none.
 */
import assert from "node:assert/strict";
import type { Lab } from "../lab/lab.js";
import { type Event, type Migration, migrate } from "../lib/migrate.js";
import { RedisContainer } from "../lib/redis.js";
import { assertRuns, freshAddress, leftovers, theLab } from "./setup.js";

const ID = "e2e-faults";
/** From the phase's first event: CRIU is up on both sides, and rounds go on for seconds more. */
const INTO_THE_ROUNDS_MS = 700;
/** An agent is away so long. */
const AWAY_MS = 500;
/** A link on which the rounds last for seconds, in Mbit/s. */
const SLOW_LINK = 400;
/** From the end of the command to one host running the container and nothing left on either. */
const SETTLED_MS = 15_000;
/** The other side asks a restarted agent at growing intervals, of up to 5 s each. */
const AGENT_SETTLED_MS = 25_000;

type Target =
  | { readonly kind: "agents"; readonly hosts: readonly string[] }
  | { readonly kind: "process"; readonly host: string; readonly pattern: string };

interface Victim {
  readonly name: string;
  readonly target: Target;
}

const program = (name: string, host: string, pattern: string): Victim => ({
  name,
  target: { kind: "process", host, pattern },
});
const agents = (name: string, ...hosts: string[]): Victim => ({ name, target: { kind: "agents", hosts } });

/** Without these no migration can go on. */
const VICTIMS: readonly Victim[] = [
  agents("the source's agent", "a"),
  agents("the destination's agent", "b"),
  agents("both agents", "a", "b"),
  program("the source's engine", "a", "pclive-engine source"),
  program("the destination's engine", "b", "pclive-engine destination"),
  program("runc checkpoint at the source", "a", "runc .*checkpoint"),
  program("CRIU at the source", "a", "criu(: dump| swrk)"),
  program("runc restore at the destination", "b", "runc .*restore"),
  program("CRIU at the destination", "b", "criu(: restore| swrk)"),
  program("the destination's shim", "b", `containerd-shim-pclive-v2.* -id ${ID}`),
];

/** The migration is the agent's: the command only watches. */
const WATCHER = program("the command", "a", "pclive.cjs migrate");

/** Strikes when it is told to. @returns whether there was a victim; that it is not there in this phase is no failure */
type Blow = () => Promise<boolean>;

/**
 * Makes ready to strike. A switchover takes a tenth of a second, and as long takes a command until it runs on a host: so it
 * runs already and waits. It gets the pattern last, for it must not match its own command line.
 */
function arm(lab: Lab, { target }: Victim): { readonly blow: Blow; disarm(): void } {
  if (target.kind === "agents") {
    const blow = async () => {
      await Promise.all(target.hosts.map((host) => lab.kill(host, "pclived")));
      return true;
    };
    return { blow, disarm: () => undefined };
  }
  const child = lab.spawn(target.host, ["sh", "-c", 'read -r pattern && exec pkill -KILL -f -- "$pattern"']);
  child.stdin?.on("error", () => undefined);
  const ended = new Promise<number>((resolve) => child.on("close", (code) => resolve(code ?? -1)));
  const blow = async () => {
    child.stdin?.end(`${target.pattern}\n`);
    const code = await ended;
    assert.ok(code === 0 || code === 1, `pkill ended with ${code}`);
    return code === 0;
  };
  return { blow, disarm: () => child.stdin?.end() };
}

async function revive(lab: Lab, { target }: Victim): Promise<void> {
  if (target.kind === "agents") await Promise.all(target.hosts.map((host) => lab.start(host, "pclived")));
}

interface Strike {
  readonly phase: string;
  readonly afterMs: number;
}

/** Migrates from a to b and kills the victim on the way. */
async function strike(
  lab: Lab,
  victim: Victim,
  { phase, afterMs }: Strike,
): Promise<{ result: Migration; killed: boolean }> {
  const armed = arm(lab, victim);
  let struck: Promise<boolean> | undefined;
  const blow = async () => {
    await sleep(afterMs);
    const killed = await armed.blow();
    // A command whose container is committed waits for the other agent.
    await sleep(AWAY_MS);
    await revive(lab, victim);
    return killed;
  };
  const result = await migrate(lab, "a", ID, "b", { timeout: "60s" }, (event: Event) => {
    if (event.phase?.name === phase) struck ??= blow();
  });
  if (struck === undefined) armed.disarm();
  return { result, killed: (await struck) ?? false };
}

/** What a host says of the container and of migrations. */
interface Scene {
  readonly runs: boolean;
  readonly left: readonly string[];
}

async function look(lab: Lab, host: string): Promise<Scene> {
  const script = `ctr task ls | grep '^${ID} .*RUNNING'; ls /run/pclive/m; pgrep -fa '[p]clive-engine|[c]riu(:| swrk)|[r]unc .*(restore|checkpoint)'; true`;
  const { stdout } = await lab.exec(host, ["sh", "-c", `{ ${script}; } 2>/dev/null`]);
  const lines = stdout.split("\n").filter((line) => line !== "");
  const task = lines.filter((line) => line.startsWith(`${ID} `));
  return { runs: task.length > 0, left: lines.filter((line) => !task.includes(line)) };
}

/** Waits until one host runs the container, free of what the migration made, and the other holds nothing at all. */
async function settled(lab: Lab, timeoutMs: number): Promise<string> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const [a, b] = await Promise.all([look(lab, "a"), look(lab, "b")]);
    const home = a.runs === b.runs ? undefined : a.runs ? "a" : "b";
    const left = home === undefined ? [] : await leftovers(lab, home === "a" ? "b" : "a");
    const scratch = home === "a" ? a.left : b.left;
    if (home !== undefined && left.length === 0 && scratch.length === 0) return home;
    if (Date.now() > deadline) {
      assert.fail(
        `runs on a: ${a.runs}, on b: ${b.runs}; left: ${[...a.left, ...b.left, ...left].join(" | ") || "-"}`,
      );
    }
    await sleep(250);
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

describe("faults", function () {
  this.timeout(120_000);
  let lab: Lab;
  let redis: RedisContainer;

  before(async () => {
    lab = await theLab();
    redis = await RedisContainer.start(lab, "a", {
      id: ID,
      address: freshAddress(),
      memoryMb: 150,
      valueBytes: 4096,
    });
    await redis.populate();
  });

  after(async () => {
    await lab.shape("off");
    await redis.remove("a");
    await redis.remove("b");
  });

  for (const victim of VICTIMS) {
    const limit = victim.target.kind === "agents" ? AGENT_SETTLED_MS : SETTLED_MS;

    it(`${victim.name} dies in a round: the container goes on at the source`, async () => {
      await lab.shape(SLOW_LINK);
      const { result, killed } = await strike(lab, victim, { phase: "round", afterMs: INTO_THE_ROUNDS_MS });
      await lab.shape("off");
      assert.equal(killed, true, "there was nothing to kill");
      assert.notEqual(result.exitCode, 0, "the migration succeeded all the same");
      assert.equal(await settled(lab, limit), "a");
      await redis.verify();
    });

    it(`${victim.name} dies in the switchover: never two, never none`, async () => {
      await strike(lab, victim, { phase: "switchover", afterMs: 0 });
      const host = await settled(lab, limit);
      await redis.verify();
      if (host === "b") await backToA(lab, redis);
    });
  }

  it(`${WATCHER.name} dies in a round: the migration goes on by itself`, async () => {
    await lab.shape(SLOW_LINK);
    const { killed } = await strike(lab, WATCHER, { phase: "round", afterMs: INTO_THE_ROUNDS_MS });
    assert.equal(killed, true, "there was nothing to kill");
    await lab.shape("off");
    await until(async () => (await look(lab, "b")).runs);
    assert.equal(await settled(lab, SETTLED_MS), "b");
    await redis.verify();
    await backToA(lab, redis);
  });

  it("the link is cut in a round: both sides give up, the container goes on at the source", async () => {
    await lab.shape(SLOW_LINK);
    let cut: Promise<void> | undefined;
    const result = await migrate(lab, "a", ID, "b", { timeout: "60s" }, (event: Event) => {
      if (event.phase?.name === "round") cut ??= sleep(INTO_THE_ROUNDS_MS).then(() => lab.cut());
    });
    await cut;
    await lab.heal();
    await lab.shape("off");
    assert.notEqual(result.exitCode, 0);
    assert.equal(await settled(lab, AGENT_SETTLED_MS), "a");
    await redis.verify();
  });

  it("after all that, it still moves", async () => {
    const result = await migrate(lab, "a", ID, "b");
    assert.equal(result.exitCode, 0, result.stderr);
    await assertRuns(lab, "b", ID);
    await redis.verify();
  });
});

async function until(test: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!(await test())) {
    if (Date.now() > deadline) assert.fail("the migration did not go on");
    await sleep(250);
  }
}

/** The container runs already when its agents still have to settle, after one was away, who has it: until then it is busy. */
async function backToA(lab: Lab, redis: RedisContainer): Promise<void> {
  const deadline = Date.now() + AGENT_SETTLED_MS;
  let back = await migrate(lab, "b", ID, "a");
  while (back.stderr.includes("is being migrated already") && Date.now() < deadline) {
    await sleep(1000);
    back = await migrate(lab, "b", ID, "a");
  }
  assert.equal(back.exitCode, 0, back.stderr);
  await assertRuns(lab, "a", ID);
  await redis.verify();
}
