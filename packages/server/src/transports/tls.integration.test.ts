/** The contract of every transport over TLS: slow readers get what is queued and then their goodbye, nothing is left out, ends are told. */
import { afterAll } from "bun:test";
import { transportContract } from "../../test/contracts/transport.ts";
import { certificateFolder, makeCertificate } from "../../test/support/certificates.ts";
import { KINDS } from "../../test/support/peer/transports.ts";

const { folder, remove } = certificateFolder();
const { cert, key } = makeCertificate(folder, "contract");
afterAll(remove);

for (const transport of KINDS) {
  transportContract({ ...transport, name: `${transport.name} over TLS` }, { "tls-cert": cert, "tls-key": key });
}
