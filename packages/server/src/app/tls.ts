/** The certificate: its files, read and looked at before any port is opened with them (SPEC.md, group TL). */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Clock } from "../base/clock.ts";
import { StartupError } from "../base/failures.ts";
import type { Logger } from "../base/log.ts";
import type { Config } from "../config/schema.ts";

export interface TlsFiles {
  /** As the runtime takes it. */
  readonly material: { readonly cert: string; readonly key: string; readonly passphrase?: string };
  /** Of the first certificate, for the log. */
  readonly shown: { readonly names: string; readonly expires: string };
  readonly expiresAt: number;
}

type TlsConfig = Pick<Config, "tlsCert" | "tlsKey" | "tlsKeyPassphrase">;

/** Undefined: none is configured. Throws `StartupError` where what is configured cannot be used. */
export function readTls({ tlsCert, tlsKey, tlsKeyPassphrase }: TlsConfig): TlsFiles | undefined {
  if (tlsCert === undefined || tlsKey === undefined) return undefined;
  const cert = readText(tlsCert, "tlsCert");
  const key = readText(tlsKey, "tlsKey");
  const certificate = parseCertificate(cert, tlsCert);
  if (!certificate.checkPrivateKey(parseKey(key, tlsKey, tlsKeyPassphrase)))
    throw new StartupError(
      `tlsKey: the key in ${tlsKey} is not the one of the certificate in ${tlsCert}`,
      "take the pair that was made together; in the certificate's file its own certificate comes first",
    );
  return {
    material: { cert, key, ...(tlsKeyPassphrase !== undefined && { passphrase: tlsKeyPassphrase }) },
    shown: {
      names: certificate.subjectAltName ?? certificate.subject,
      expires: new Date(certificate.validTo).toISOString(),
    },
    expiresAt: Date.parse(certificate.validTo),
  };
}

export function isSameTls(one: TlsFiles | undefined, other: TlsFiles | undefined): boolean {
  return one?.material.cert === other?.material.cert && one?.material.key === other?.material.key;
}

const SOON_MS = 7 * 86_400_000;

/** Serving with a certificate that is over helps those who look at why it is refused more than not serving at all. */
export function warnOfExpiry(tls: TlsFiles | undefined, clock: Pick<Clock, "now">, log: Logger): void {
  if (tls === undefined) return;
  const leftMs = tls.expiresAt - clock.now();
  if (leftMs <= 0) log.warn("the certificate has expired: clients will refuse it", tls.shown);
  else if (leftMs < SOON_MS) log.warn("the certificate expires soon", tls.shown);
}

function readText(file: string, option: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StartupError(
      `${option}: the file cannot be read: ${reason}`,
      "a relative path starts at the working directory; the server's user must be allowed to read it",
    );
  }
}

function parseCertificate(pem: string, file: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch {
    throw new StartupError(
      `tlsCert: ${file} holds no certificate in PEM text`,
      "it begins with -----BEGIN CERTIFICATE-----",
    );
  }
}

function parseKey(pem: string, file: string, passphrase: string | undefined): KeyObject {
  try {
    return createPrivateKey({ key: pem, ...(passphrase !== undefined && { passphrase }) });
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ERR_MISSING_PASSPHRASE")
      throw new StartupError(`tlsKey: the key in ${file} is encrypted`, "set tlsKeyPassphrase");
    const words =
      passphrase !== undefined && code !== "ERR_OSSL_PEM_NO_START_LINE"
        ? `cannot be read with this tlsKeyPassphrase`
        : "holds no private key in PEM text";
    throw new StartupError(`tlsKey: ${file} ${words}`, "it begins with -----BEGIN PRIVATE KEY----- or the like");
  }
}
