/** Every transport keeps the same promises. */
import { bareTransportContract } from "../../test/contracts/bare-transport.ts";
import { transportContract } from "../../test/contracts/transport.ts";
import { BARE_TRANSPORTS } from "../../test/support/peer/bare.ts";
import { TRANSPORTS } from "../../test/support/peer/transports.ts";

for (const transport of TRANSPORTS) transportContract(transport);
for (const transport of BARE_TRANSPORTS) bareTransportContract(transport);
