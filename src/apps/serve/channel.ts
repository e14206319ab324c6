/** What supervisor and worker say to each other. Both are this program; what is not understood is dropped. */

/** From the supervisor: the first message. Closing the channel says to stop. */
export interface StartOrder {
  readonly passphrase: string;
}

/** From the worker, once. */
export type WorkerReport =
  | { readonly ready: object }
  | { readonly failed: string; readonly exitCode: number };

export function readStartOrder(message: unknown): StartOrder | undefined {
  const passphrase = memberOf(message, 'passphrase');
  return typeof passphrase === 'string' ? { passphrase } : undefined;
}

export function readReport(message: unknown): WorkerReport | undefined {
  const ready = memberOf(message, 'ready');
  if (typeof ready === 'object' && ready !== null) return { ready };
  const failed = memberOf(message, 'failed');
  const exitCode = memberOf(message, 'exitCode');
  return typeof failed === 'string' && typeof exitCode === 'number'
    ? { failed, exitCode }
    : undefined;
}

function memberOf(message: unknown, name: string): unknown {
  if (typeof message !== 'object' || message === null) return undefined;
  return Object.hasOwn(message, name) ? Reflect.get(message, name) : undefined;
}
