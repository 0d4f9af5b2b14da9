/** Facts about this host, as the check and the manifest need them. */
import { spawn } from "node:child_process";
import { existsSync, readFileSync, statfsSync } from "node:fs";
import { machine, release } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { Config } from "./config.js";
import { command } from "./util/command.js";

export const PROTOCOL = 3;
/** Set by the launcher; the same number in one build of PCLive. */
export const VERSION = process.env["PCLIVE_VERSION"] ?? "0.1.0";

export const kernel = release;
export const arch = machine;

/** What programs can see and use of an x86 processor; the kernel's flags tell much else, too. */
const X86_VISIBLE =
  /^(cx8|cx16|cmov|mmx|fxsr|sse|sse2|pni|ssse3|sse4_1|sse4_2|sse4a|avx|avx2|avx_.*|avx512.*|amx_.*|aes|vaes|pclmulqdq|vpclmulqdq|gfni|sha_ni|sha512|sm3|sm4|fma|fma4|xop|f16c|bmi1|bmi2|abm|tbm|movbe|popcnt|lahf_lm|rdrand|rdseed|rdtscp|rdpid|adx|fsgsbase|xsave|xsaveopt|xsavec|clflushopt|clwb|cldemote|movdiri|movdir64b|prefetchw|3dnowprefetch|rtm|hle|pku|ospke|serialize|waitpkg|enqcmd|cmpccxadd|user_shstk|ibt)$/;

/** Instruction set extensions that this host's programs may be using. */
export function cpuFeatures(cpuinfo = readFileSync("/proc/cpuinfo", "utf8")): string[] {
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(cpuinfo);
  const all = (line?.[1] ?? "").split(/\s+/).filter((flag) => flag !== "");
  return /^flags/m.test(line?.[0] ?? "") ? all.filter((flag) => X86_VISIBLE.test(flag)) : all;
}

/** Bytes that could be given to programs now without swapping. */
export function availableMemory(meminfo = readFileSync("/proc/meminfo", "utf8")): number {
  return Number(/^MemAvailable:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? 0) * 1024;
}

/** Bytes free for root below the nearest existing folder of `path`. */
export function freeDisk(path: string): number {
  let folder = path;
  while (!existsSync(folder) && folder !== "/") folder = dirname(folder);
  const { bavail, bsize } = statfsSync(folder);
  return bavail * bsize;
}

/** The folder of the engine and of criu. */
export function libDir(config: Pick<Config, "libDir">): string {
  const here = config.libDir ?? process.env["PCLIVE_LIB"] ?? dirname(fileURLToPath(import.meta.url));
  return existsSync(join(here, "pclive-engine"))
    ? here
    : existsSync("/usr/local/lib/pclive")
      ? "/usr/local/lib/pclive"
      : here;
}

/** The version of our CRIU, such as "4.2.1"; undefined when it is not there or does not run. */
export async function criuVersion(config: Config): Promise<string | undefined> {
  const path = join(libDir(config), "criu", "criu");
  try {
    return /^Version:\s*(\S+)/m.exec(await command(path, ["--version"], { timeoutMs: 5000 }))?.[1];
  } catch {
    return undefined;
  }
}

const hello = z.object({
  ok: z.literal(true),
  version: z.string(),
  features: z.object({ uffdWpAsync: z.boolean(), softDirty: z.boolean(), pagemapScan: z.boolean() }),
});
export type EngineFacts = z.infer<typeof hello>;

/** Asks the engine what this kernel can do for it. Undefined when it is not there or does not answer. */
export function engineFacts(config: Config, timeoutMs = 3000): Promise<EngineFacts | undefined> {
  return new Promise((resolve) => {
    const child = spawn(join(libDir(config), "pclive-engine"), ["source"], {
      stdio: ["ignore", "ignore", "ignore", "pipe"],
    });
    const control = child.stdio[3];
    const finish = (facts: EngineFacts | undefined) => {
      clearTimeout(timer);
      control?.destroy();
      child.kill("SIGKILL");
      resolve(facts);
    };
    const timer = setTimeout(() => finish(undefined), timeoutMs);
    child.once("error", () => finish(undefined));
    child.once("exit", () => finish(undefined));
    if (!control || !("readable" in control)) return finish(undefined);
    control.on("error", () => finish(undefined));
    createInterface({ input: control as NodeJS.ReadableStream }).once("line", (line) => {
      finish(safeJson(line, hello));
    });
    (control as unknown as NodeJS.WritableStream).write('{"id":1,"cmd":"hello"}\n');
  });
}

function safeJson<T>(text: string, schema: z.ZodType<T>): T | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
