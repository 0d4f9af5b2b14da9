/** The command line: what passes the check is safe in a path; everything else is refused in one line. */
import assert from "node:assert/strict";
import { checkIdentity, type Flags, parseFlags } from "../../../shim/cli/flags.js";
import { cross, mutateBytes } from "../mutate-bytes.js";
import type { Random } from "../random.js";
import type { Target } from "../target.js";

const ARGUMENTS = [
  "-namespace",
  "-id",
  "--id",
  "-bundle",
  "-debug",
  "-debug=false",
  "-info",
  "-v",
  "start",
  "delete",
  "-",
  "--",
  "-=",
  "--id=",
  "..",
  "a/b",
  "-new",
  "",
  "é",
] as const;

const lines = (...all: string[][]) => all.map((args) => Buffer.from(args.join("\0")));

export const flags: Target = {
  name: "flags",
  seeds: lines(
    [
      "-namespace",
      "default",
      "-address",
      "/run/c.sock",
      "-publish-binary",
      "/usr/bin/c",
      "-id",
      "a.b-c",
      "-debug",
      "start",
    ],
    ["--namespace=k8s.io", "--id=x", "-bundle", "/b", "delete"],
    ["-info"],
    ["-v"],
  ),
  mutate: mutateArguments,
  covers: ["/shim/cli/flags.js"],
  run(input) {
    let parsed: Flags;
    try {
      parsed = parseFlags(input.toString().split("\0"));
      checkIdentity(parsed);
    } catch (error) {
      assert.ok(error instanceof Error && error.constructor === Error, String(error));
      assert.ok(!error.message.includes("\n"), error.message);
      return;
    }
    for (const name of [parsed.namespace, parsed.id]) {
      assert.ok(name.length > 0 && name.length <= 128);
      assert.match(name, /^[\w.-]+$/);
      assert.ok(!name.startsWith(".") && !name.includes(".."));
    }
  },
};

function mutateArguments(random: Random, bytes: Buffer): Buffer {
  if (random.oneIn(3)) return mutateBytes(random, bytes);
  const args = bytes.toString().split("\0");
  const at = random.below(args.length + 1);
  if (random.oneIn(3)) args.splice(at, 1);
  else args.splice(at, random.below(2), random.oneIn(30) ? "x".repeat(10_000) : random.pick(ARGUMENTS));
  const changed = Buffer.from(args.join("\0"));
  return random.oneIn(10) ? cross(random, changed, bytes) : changed;
}
