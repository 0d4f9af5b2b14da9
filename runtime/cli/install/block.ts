/**
 * The block of lines that we put at the end of a file of containerd's, between two marks.
 * Everything else in the file, comments and formatting included, stays as its owner wrote it.
 */
const BEGIN = "# >>> pclive >>> written by `pclive install`; `pclive uninstall` takes it out";
const END = "# <<< pclive <<<";
const PATTERN = /(^|\n)# >>> pclive >>>[^\n]*\n(?:[^\n]*\n)*?# <<< pclive <<<[^\n]*(?:\n|$)/;

export interface Found {
  readonly before: string;
  readonly block: string;
  readonly behind: string;
}

/** The block with its marks, its lines ended as those of `text` are. */
export function frame(lines: readonly string[], text: string): string {
  return asLines([BEGIN, ...lines, END], text);
}

export function asLines(lines: readonly string[], text: string): string {
  const end = text.includes("\r\n") ? "\r\n" : "\n";
  return lines.map((line) => line + end).join("");
}

/** What must be put between `text` and the block so that the latter begins a line. */
export function joint(text: string): string {
  if (text === "" || text.endsWith("\n")) return "";
  return text.includes("\r\n") ? "\r\n" : "\n";
}

/** Our block in a file, or undefined when there is none. */
export function findBlock(text: string): Found | undefined {
  const match = PATTERN.exec(text);
  if (match === null) return undefined;
  const start = match.index + (match[1]?.length ?? 0);
  const block = match[0].slice(match[1]?.length ?? 0);
  return { before: text.slice(0, start), block, behind: text.slice(start + block.length) };
}

/** Whether a mark is left that has lost its partner. */
export function hasStrayMark(text: string): boolean {
  const found = findBlock(text);
  return /^# (>>> pclive >>>|<<< pclive <<<)/m.test(found === undefined ? text : found.before + found.behind);
}
