/** `pclive images`: the checkpoints that are kept on this host. */
import type { Command } from "commander";
import { pclive } from "#protos/agent";
import { formatBytes, formatMs } from "../format.js";
import type { WithAgent } from "./checkpoint.js";
import { print } from "./options.js";

type Image = pclive.agent.v1.ICachedImage;

export function addImages(program: Command, withAgent: WithAgent): void {
  const images = program
    .command("images")
    .description("list the checkpoints that this and other hosts keep here; images rm removes one")
    .option("--json", "as JSON")
    .action(async (flags: { json?: boolean }, command: Command) => {
      const list = await withAgent(command, (client) => client.images());
      const { ImageList } = pclive.agent.v1;
      print(flags.json, ImageList.toObject(list, { longs: Number, defaults: true }), renderImages(list));
    });
  images
    .command("rm")
    .description("remove one")
    .argument("<name>", "its name, as pclive images tells")
    .action(async (name: string, _flags: object, command: Command) => {
      const { bytes } = await withAgent(command, (client) => client.removeImage({ name }));
      print(false, undefined, `removed ${name}: ${formatBytes(bytes)} are free again`);
    });
}

export function renderImages(list: pclive.agent.v1.ImageList, now = Date.now()): string {
  const { images, bytes, maxBytes } = list;
  if (images.length === 0) return "no images are kept here";
  const head = ["NAME", "CONTAINER", "FROM", "SIZE", "AGE"];
  const rows = [head, ...images.map((one) => rowOf(one, now))];
  const widths = head.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const lines = rows.map((row) =>
    row
      .map((text, i) => text.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  return [...lines, `${formatBytes(bytes)} of ${formatBytes(maxBytes)}`].join("\n");
}

function rowOf({ name, namespace, container, source, bytes, at }: Image, now: number): string[] {
  const age = formatMs(Math.max(0, now - (at ?? 0)));
  return [name ?? "", `${namespace}/${container}`, source ?? "", formatBytes(Number(bytes ?? 0)), age];
}
