/** The migration service of the shim: pclive.shim.v1.Migration. */
export { migrationService } from "./service.js";
