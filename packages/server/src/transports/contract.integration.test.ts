/** Every transport keeps the same promises. */
import { transportContract } from "../../test/contracts/transport.ts";
import { TRANSPORTS } from "../../test/support/peer/transports.ts";

for (const transport of TRANSPORTS) transportContract(transport);
