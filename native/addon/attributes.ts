/** Extended attributes of open files. */
import { binding } from "./binding.js";
import { checkFd } from "./check.js";

/** Whether there are any, access control lists among them. */
export function hasAttributes(fd: number): boolean {
  checkFd("fd", fd);
  return binding.hasAttributes(fd);
}

/** Takes all of them away that may be taken away. */
export function dropAttributes(fd: number): void {
  checkFd("fd", fd);
  binding.dropAttributes(fd);
}
