/** What is mounted where, as this process sees it. */
import { readFileSync } from "node:fs";

/** Mount points at `path` and below it, in the order in which they were mounted. */
export function mountPointsBelow(path: string): string[] {
  const points: string[] = [];
  for (const line of readFileSync("/proc/self/mountinfo", "utf8").split("\n")) {
    const field = line.split(" ", 5)[4];
    if (field === undefined) continue;
    // The kernel writes blanks and backslashes as octal.
    const point = field.replace(/\\([0-7]{3})/g, (_, digits: string) =>
      String.fromCharCode(Number.parseInt(digits, 8)),
    );
    if (point === path || point.startsWith(path === "/" ? "/" : `${path}/`)) points.push(point);
  }
  return points;
}
