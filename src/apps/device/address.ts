/** `host:port` and `[address]:port` as people write them on a command line. */

export interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

/** `undefined` when the text is not of that form. */
export function parseAddress(text: string): HostAndPort | undefined {
  const [, bracketed, plain, digits] =
    /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host === undefined || port < 1 || port > 65_535) return undefined;
  return { host, port };
}
