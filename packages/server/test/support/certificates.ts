/**
 * Certificates made on the spot, by openssl, for 127.0.0.1 and localhost. Each is its own authority.
 *
 *     const files = makeCertificate(folder, "first");             // { cert, key }: names of files
 *     makeCertificate(folder, "old", { isOver: true });           // since yesterday
 *     makeCertificate(folder, "locked", { passphrase: "…" });     // with an encrypted key
 */
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

export function makeCertificate(
  folder: string,
  name: string,
  { isOver = false, passphrase }: { readonly isOver?: boolean; readonly passphrase?: string } = {},
): CertificateFiles {
  const files = { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
  const fresh = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", `/CN=${name}`];
  const names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", files.key, "-out", files.cert];
  const secrecy = passphrase === undefined ? ["-nodes"] : ["-passout", `pass:${passphrase}`];
  openssl([...fresh, ...names, ...secrecy, "-days", "30"]);
  // It makes none anew that is over, but signs one again with any date.
  if (isOver) openssl(["x509", "-in", files.cert, "-signkey", files.key, "-days", "-1", "-out", files.cert]);
  return files;
}

/** A folder for them, which is removed by `remove`. */
export function certificateFolder(): { readonly folder: string; readonly remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), "longwire-tls-"));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** When a certificate ends, as ISO 8601 writes it. */
export function expiryOf(file: string): string {
  return new Date(new X509Certificate(readFileSync(file)).validTo).toISOString();
}

function openssl(args: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["openssl", ...args], { stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`openssl: ${stderr.toString()}`);
}
