/** How many times longer than usual to wait for something: more than 1 where the machine is emulated. */
export const PATIENCE = Number(process.env.PCLIVE_TEST_PATIENCE ?? "1");
