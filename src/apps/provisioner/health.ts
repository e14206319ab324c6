/** Whether this server can do what it is for: what is asked of whom. */
import { type HealthDoor, openHealthDoor } from '../../servers/http/health.ts';
import { EnvironmentError } from '../../trust/ports/faults.ts';
import { troubleText } from './chores.ts';
import type { Core } from './core.ts';
import type { ProvisionerConfig } from './provisioner.ts';

export interface HealthConfig {
  /** Default: this machine alone, since nobody is asked who they are. */
  readonly host?: string | undefined;
  /** 0 lets the system choose. */
  readonly port: number;
}

/** Rejects with the system's error when the port is taken. */
export function openHealth(
  { host = '127.0.0.1', port }: HealthConfig,
  { registry, authority, certificate, clock, metrics }: Core,
  onTrouble: ProvisionerConfig['onTrouble'],
): Promise<HealthDoor> {
  return openHealthDoor({
    host,
    port,
    metrics,
    checks: {
      store: () => registry.countDevices(),
      // Without it nothing new is issued; whoever is enrolled goes on.
      authority: () => authority.hierarchy(),
      certificate: async () => {
        if (clock.nowMs() >= certificate.endMs) {
          throw new EnvironmentError('the certificate of the doors has ended', {
            retryable: true,
          });
        }
      },
    },
    onUnwell: (part, error) => onTrouble?.(troubleText(`health: ${part}`, error)),
  });
}
